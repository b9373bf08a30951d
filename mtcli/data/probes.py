"""Probe tasks: made-up corpora whose every target follows from its source by a rule, to find out what a model can do.

A sentence is a row of letters between spaces, so that a tokenizer makes each of them one token. To copy or reverse
it, a model without attention has to press the whole row into a vector of fixed size, while attention looks symbols up
one by one. Sorting needs no more than a count of each symbol, and the memory game a single bit; but that bit has to
survive every step from its place to the end of the row, a way that attention takes in one step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from string import ascii_lowercase
from typing import TextIO

from mtcli.catalog import load
from mtcli.errors import ResourceError, UsageError

Row = list[str]
"""The symbols of a sentence."""

SYMBOLS = 10
"""The size of an alphabet unless another is asked for."""


class Dice:
    """Seeded chance from `random.Random(seed).random()`, the only sequence that every Python version keeps."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def below(self, end: int) -> int:
        """An integer from 0 to `end - 1`."""
        return int(self.random.random() * end)


@dataclass(frozen=True)
class Task:
    """How the source of a length is drawn, and what its target is; an alphabet of a size of its own, or of any."""

    draw: Callable[[Dice, int, str], Row]
    answer: Callable[[Row], Row]
    alphabet: int | None = None


def any_row(dice: Dice, length: int, alphabet: str) -> Row:
    """Every symbol drawn alone."""
    return [alphabet[dice.below(len(alphabet))] for _ in range(length)]


def mostly_a(dice: Dice, length: int, alphabet: str) -> Row:
    """A row of `a`, in which every other time one symbol, anywhere, is `b`."""
    row = ["a"] * length
    if dice.below(2):
        row[dice.below(length)] = "b"
    return row


def what_follows(row: Row) -> Row:
    """How the row goes on: with `b` if there was one, otherwise with `a`.

    One symbol is the whole answer on purpose. In a longer one, `b b b`, each symbol after the first could be read off
    the one before it, which training shows to the decoder: it would ask nothing more about the source, and make up
    most of the loss.
    """
    return ["b" if "b" in row else "a"]


copy = Task(any_row, list)
reverse = Task(any_row, lambda row: row[::-1])
sort = Task(any_row, sorted)
memory_game = Task(mostly_a, what_follows, alphabet=2)


@dataclass(frozen=True)
class Probe:
    """A task of the catalogue with its sizes; `UsageError` with every reason why there is no such corpus."""

    task: str
    shortest: int = 1
    longest: int = 20
    symbols: int | None = None
    """Size of the alphabet, a to z; None: the task's own, or `SYMBOLS`."""

    def __post_init__(self) -> None:
        if reasons := [*self.reasons()]:
            raise UsageError("there is no such corpus", *(f"- {reason}" for reason in reasons))

    def reasons(self) -> Iterator[str]:
        """What contradicts itself."""
        fixed = self.rule.alphabet
        if self.shortest < 1:
            yield f"a sentence has at least 1 symbol, not {self.shortest:,}"
        if self.longest < self.shortest:
            yield f"the longest sentence, {self.longest:,}, is shorter than the shortest, {self.shortest:,}"
        if fixed and self.symbols not in (None, fixed):
            yield f"{self.task} has {fixed} symbols, not {self.symbols:,}"
        if not fixed and self.symbols is not None and not 2 <= self.symbols <= len(ascii_lowercase):
            yield f"an alphabet has 2 to {len(ascii_lowercase)} symbols, not {self.symbols:,}"

    @property
    def rule(self) -> Task:
        """What the task's name stands for."""
        task: Task = load("task", self.task)
        return task

    def pairs(self, seed: int) -> Iterator[tuple[Row, Row]]:
        """Sources and their targets without end, every length equally likely; they depend on nothing but the seed."""
        dice, rule = Dice(seed), self.rule
        alphabet = ascii_lowercase[: rule.alphabet or self.symbols or SYMBOLS]
        while True:
            source = rule.draw(dice, self.shortest + dice.below(self.longest - self.shortest + 1), alphabet)
            yield source, rule.answer(source)


def write(probe: Probe, lines: int, seed: int, source: Path, target: Path) -> None:
    """Write the first `lines` pairs into two new files, line by line.

    Raises `UsageError` if one of them exists or there would be no line, `ResourceError` if they cannot be written.
    """
    if lines < 1:
        raise UsageError(f"a corpus has at least 1 line, not {lines:,}")
    try:
        source.parent.mkdir(parents=True, exist_ok=True)
        with new_files(source, target) as (sources, targets):
            for row, answer in islice(probe.pairs(seed), lines):
                sources.write(" ".join(row) + "\n")
                targets.write(" ".join(answer) + "\n")
    except FileExistsError as error:
        raise UsageError(f"{error.filename} exists already", "choose another -o, or remove it first") from error
    except OSError as error:
        place = error.filename or source.parent
        raise ResourceError(f"cannot write {place}: {(error.strerror or str(error)).lower()}") from error


@contextmanager
def new_files(*paths: Path) -> Iterator[list[TextIO]]:
    """Open files that must not exist; when anything goes wrong, none of them is left behind."""
    begun: list[Path] = []
    try:
        with ExitStack() as opened:
            files: list[TextIO] = []
            for path in paths:
                files.append(opened.enter_context(path.open("x", encoding="utf-8", newline="\n")))
                begun.append(path)
            yield files
    except BaseException:  # an impatient Ctrl-C too
        for path in begun:
            path.unlink()
        raise
