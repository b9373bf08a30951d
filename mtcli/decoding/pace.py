"""How fast translations come: the same lines several times, and single lines; with their tokenisation and without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mtcli.data.normalize import normalize
from mtcli.decoding.translator import TextTokenizer, Translation, Translator
from mtcli.machine import Clock


class TimedTokenizer:
    """A tokenizer that knows how many seconds were spent in it."""

    def __init__(self, tokenizer: TextTokenizer, clock: Clock) -> None:
        self.tokenizer = tokenizer
        self.clock = clock
        self.seconds = 0.0

    def encode_source(self, lines: Sequence[str]) -> list[list[int]]:
        """The tokens of each source line."""
        with self.running():
            return self.tokenizer.encode_source(lines)

    def decode_target(self, outputs: Sequence[Sequence[int]]) -> list[str]:
        """The text of each translation."""
        with self.running():
            return self.tokenizer.decode_target(outputs)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add the time that passes."""
        started = self.clock()
        yield
        self.seconds += self.clock() - started


@dataclass(frozen=True)
class Lap:
    """The seconds that lines took, from text to text, and those of them from tokens to tokens."""

    text: float
    tokens: float


class Pace:
    """Times a translator whose tokenizer is a `TimedTokenizer`, by the same clock."""

    def __init__(self, translator: Translator) -> None:
        assert isinstance(translator.tokenizer, TimedTokenizer)
        self.translator = translator
        self.tokenizer = translator.tokenizer

    def lap(self, lines: Sequence[str]) -> tuple[Lap, list[Translation]]:
        """Translate the lines once."""
        clock, before = self.tokenizer.clock, self.tokenizer.seconds
        started = clock()
        with self.tokenizer.running():
            normalized = [normalize(line) for line in lines]
        translations = self.translator.translate(normalized)
        seconds = clock() - started
        return Lap(seconds, seconds - (self.tokenizer.seconds - before)), translations

    def latencies(self, lines: Sequence[str]) -> list[float]:
        """Seconds of each line alone, from text to text, after one that does not count."""
        self.lap(lines[:1])
        return [self.lap([line])[0].text for line in lines]


def evenly(lines: Sequence[str], count: int) -> list[str]:
    """So many of the lines, or all if there are no more, from everywhere among them."""
    count = min(count, len(lines))
    return [lines[i * len(lines) // count] for i in range(count)]
