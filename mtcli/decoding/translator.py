"""From lines of text to translations, in order, each independent of the lines around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch

from mtcli.catalog import load
from mtcli.decoding.contradiction import refuse_required_words
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.mbr import ranked
from mtcli.decoding.searcher import Part, Searcher
from mtcli.decoding.splitting import split
from mtcli.decoding.wishes import Wishes
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import DecodingSettings

MAX_SOURCE = 1024
"""Tokens, EOS included, of the longest line that is translated in one piece."""


@runtime_checkable
class TextTokenizer(Protocol):
    """What translation needs of a tokenizer; tokens are without BOS and EOS."""

    def encode_source(self, lines: Sequence[str]) -> list[list[int]]:
        """The tokens of each source line."""

    def decode_target(self, outputs: Sequence[Sequence[int]]) -> list[str]:
        """The text of each translation."""


@dataclass(frozen=True)
class TextHypothesis:
    """One translation of one line; the numbers are those of `Hypothesis`, but the score of mbr is a utility."""

    text: str
    score: float
    log_prob: float
    tokens: tuple[int, ...]
    finished: bool
    parts: tuple[TextHypothesis, ...] = ()
    """Those it was put together from, if the line was too long for the model."""


@dataclass(frozen=True)
class Translation:
    """What became of one line: its hypotheses, best first (samples in the order drawn); none for an empty line."""

    source: str
    hypotheses: tuple[TextHypothesis, ...] = ()
    split: bool = False
    """Whether the line was too long and was translated in parts; scores are then means over the parts."""
    parts: tuple[Part, ...] = ()
    """What of the line was translated at once: usually all of it."""

    @property
    def text(self) -> str:
        """The best translation, without line breaks; empty for an empty line."""
        return self.hypotheses[0].text if self.hypotheses else ""

    @property
    def truncated(self) -> bool:
        """Whether the length limit cut the best translation, or a part of it."""
        return bool(self.hypotheses) and not self.hypotheses[0].finished


class Translator:
    """A model, its tokenizer and a way to search, ready to translate.

    `target_lang` matters to mbr with BLEU, which splits text into words. More than one of the `workers` are processes
    that end with the context in which the translator is used. Raises `UsageError` if there is no such
    strategy as `settings.decoding`, or if it cannot fulfil the wishes.
    """

    def __init__(
        self,
        model: Seq2Seq[Any],
        tokenizer: TextTokenizer,
        settings: DecodingSettings,
        device: torch.device,
        wishes: Wishes | None = None,
        target_lang: str = "",
        workers: int = 1,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.settings = settings
        self.device = device
        self.max_source = min(MAX_SOURCE, model.longest_source or MAX_SOURCE)
        self.utility = load("utility", settings.mbr_utility)(target_lang) if settings.decoding == "mbr" else None
        self.wishes = wishes
        if wishes and wishes.require_words:
            refuse_required_words(settings)
        self.searcher = Searcher(model, settings, device, wishes, workers)

    def __enter__(self) -> Translator:
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker processes."""
        self.searcher.close()

    def translate(self, lines: Sequence[str], prefixes: Sequence[str] = ()) -> list[Translation]:
        """One translation for each line, in order, each beginning with the line's prefix if prefixes are given.

        Of a line translated in parts, the first has the prefix and the words that all lines require.
        """
        assert self.wishes or not prefixes
        parts = [self.parts(*pair) for pair in zip(lines, self.tokenizer.encode_source(lines), strict=True)]
        for of_line, prefix in zip(parts, prefixes, strict=bool(prefixes)):
            of_line[:1] = [replace(part, prefix=prefix) for part in of_line[:1]]
        results = iter(self.search_all([part for of_line in parts for part in of_line]))
        found = [[next(results) for _ in of_line] for of_line in parts]
        return [joined(*of_line) for of_line in zip(lines, parts, found, strict=True)]

    def parts(self, line: str, tokens: list[int]) -> list[Part]:
        """The line in parts that the model can take at once; usually one, none if there is nothing to translate."""
        if not line.strip() or not tokens:
            return []
        if self.fits(tokens):
            return [Part(line, tokens)]
        texts = split(line, lambda text: self.fits(self.tokenizer.encode_source([text])[0]))
        encoded = zip(texts, self.tokenizer.encode_source(texts), strict=True)
        parts = [Part(text, part) for text, part in encoded if part]
        return [*parts[:1], *(replace(part, first=False) for part in parts[1:])]

    def fits(self, tokens: list[int]) -> bool:
        """Whether the tokens and an EOS are short enough."""
        return len(tokens) < self.max_source

    def search_all(self, parts: Sequence[Part]) -> list[list[TextHypothesis]]:
        """The hypotheses of each part, with their texts."""
        results = self.searcher.search_all(parts)
        texts = iter(self.tokenizer.decode_target([list(h.tokens) for each in results for h in each]))
        return [self.chosen([as_text(h, next(texts)) for h in each]) for each in results]

    def chosen(self, found: list[TextHypothesis]) -> list[TextHypothesis]:
        """The hypotheses that a search found; of samples for mbr the best, scored by their expected utility."""
        if self.utility is None:
            return found
        best = ranked([each.text for each in found], self.utility)[: self.settings.n_best]
        return [replace(found[place], score=score) for place, score in best]


def joined(line: str, parts: Sequence[Part], found: Sequence[Sequence[TextHypothesis]]) -> Translation:
    """The translation of a line from those of its parts: their best ones in a row, then their second best, ..."""
    if len(parts) == 1:
        return Translation(line, tuple(found[0]), parts=tuple(parts))
    # zip stops at the part with the fewest hypotheses: beyond them nothing covers the whole line.
    hypotheses = tuple(in_a_row(ranked) for ranked in zip(*found, strict=False))
    return Translation(line, hypotheses, split=bool(parts), parts=tuple(parts))


def in_a_row(parts: Sequence[TextHypothesis]) -> TextHypothesis:
    """One hypothesis out of consecutive ones; the mean of their scores keeps n-best lists sorted."""
    return TextHypothesis(
        text=" ".join(part.text for part in parts),
        score=sum(part.score for part in parts) / len(parts),
        log_prob=sum(part.log_prob for part in parts),
        tokens=tuple(token for part in parts for token in part.tokens),
        finished=all(part.finished for part in parts),
        parts=tuple(parts),
    )


def as_text(hypothesis: Hypothesis, text: str) -> TextHypothesis:
    """A hypothesis with its text, which is kept on one line."""
    h = hypothesis
    return TextHypothesis(one_line(text), h.score, h.log_prob, h.tokens, h.finished)


def one_line(text: str) -> str:
    """The text without line breaks, which a model with byte pieces can produce: lines out are lines in."""
    return text.replace("\r", " ").replace("\n", " ")
