"""Runs of a second or less: a corpus of a few dozen pairs, a model of one layer, and an observer that remembers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtcli.checkpoint import store
from mtcli.checkpoint.store import Checkpoint
from mtcli.data import tokenizer as tokenizers
from mtcli.data.corpus import Account, open_corpora
from mtcli.settings import TokenizerSettings
from mtcli.training.interrupt import Interrupt
from mtcli.training.observer import Standing, Validation
from mtcli.training.plan import Request
from mtcli.training.run import Watch
from mtcli.training.train import Outcome, train
from tests.checkpoint.examples import identical

WORDS = {"one": "eins", "two": "zwei", "red": "rot", "dog": "hund", "cat": "katze", "sees": "sieht", "and": "und"}

SMALL: dict[str, Any] = {
    "preset": "tiny",
    "source_lang": "en",
    "target_lang": "de",
    "encoder_layers": 1,
    "decoder_layers": 1,
    "model_dim": 16,
    "feed_forward_dim": 24,
    "heads": 2,
    "dropout": 0.2,
    "device": "cpu",
    "precision": "fp32",
    "threads": 1,
    "lr": 1e-2,
    "warmup_steps": 5,
    "max_tokens": 100,
    "accumulate": 2,
    "max_steps": 20,
    "validate_every": 10,
    "save_every": 5,
    "validation_lines": 3,
    "max_output_ratio": 0.1,
}
"""With these an epoch has eleven batches or so, so that hardly a step of two ends with one."""


def write_corpora(place: Path, pairs: int = 130) -> None:
    """Write `train` and `valid` to `place`, and a tokenizer."""
    draw = random.Random(0)
    for name, count in (("train", pairs), ("valid", 6)):
        sentences = [draw.choices(list(WORDS), k=draw.randint(1, 9)) for _ in range(count)]
        for language, lines in (
            ("en", [" ".join(words) for words in sentences]),
            ("de", [" ".join(WORDS[word] for word in reversed(words)) for words in sentences]),
        ):
            (place / f"{name}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    learn_tokenizer(place, place / "tokenizer", 40)


def learn_tokenizer(place: Path, home: Path, size: int) -> None:
    """Train a tokenizer of `size` pieces on the corpus in `place`."""
    settings = TokenizerSettings(vocab_size=size, byte_fallback=False)
    (corpus,) = open_corpora([str(place / "train")], "en", "de")
    tokenizers.train(corpus.pairs(Account()), settings, home)


def wishes(place: Path, **changes: Any) -> dict[str, Any]:
    """The flags of a tiny run on the corpus in `place`."""
    data = {"train": [str(place / "train")], "valid": [str(place / "valid")], "tokenizer": str(place / "tokenizer")}
    return {**SMALL, **data, **changes}


@dataclass
class Recorder:
    """An `Observer` that remembers everything, and that does what it was told to do at a step."""

    at: Mapping[int, Callable[[], None]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    validations: list[tuple[Validation, bool, int | None]] = field(default_factory=list)
    saves: list[Path] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def warn(self, sentence: str) -> None:
        self.warned.append(sentence)

    def stand(self, standing: Standing) -> None:
        self.standings.append(standing)
        self.at.get(standing.step, lambda: None)()

    def validated(self, validation: Validation, best: bool, patience: int | None) -> None:
        self.validations.append((validation, best, patience))

    def saved(self, path: Path) -> None:
        self.saves.append(path)


@dataclass
class Trained:
    """What a run left behind."""

    directory: Path
    recorder: Recorder
    outcome: Outcome

    def checkpoint(self, step: int) -> Checkpoint:
        return stored(self.directory, step)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind in the log, parsed as strictly as the standard asks."""
        lines = (self.directory / "log.jsonl").read_text(encoding="utf-8").split("\n")
        assert lines.pop() == ""
        parsed = [json.loads(line, parse_constant=refuse) for line in lines]
        return [event for event in parsed if event["event"] == kind]


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def stored(directory: Path, step: int) -> Checkpoint:
    """The checkpoint of a step, with all that going on needs."""
    return store.load(directory / "checkpoints" / f"step-{step}", resume=True)


def run(
    flags: dict[str, Any],
    directory: Path,
    recorder: Recorder | None = None,
    interrupt: Interrupt | None = None,
) -> Trained:
    """Train in this process."""
    recorder = recorder or Recorder()
    outcome = train(Request({}, flags), directory, Watch(recorder, Interrupt() if interrupt is None else interrupt))
    return Trained(directory, recorder, outcome)


def same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two checkpoints have the same weights, bit by bit."""
    return identical(one.weights, other.weights)


def same_state(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether all that decides the future is the same: weights, moments, random numbers, the place in the data."""
    assert one.resume is not None
    assert other.resume is not None
    progress = [dict(each.resume.values["progress"], seconds=0) for each in (one, other) if each.resume]
    tensors = identical(one.resume.tensors, other.resume.tensors)
    return same_weights(one, other) and tensors and progress[0] == progress[1]
