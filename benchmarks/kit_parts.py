"""The parts of the quality kit, as flags of `mtcli train`, one line for each question that the table answers."""

from __future__ import annotations

from dataclasses import dataclass

UNITED = ("--r-drop", "5", "--ema", "0.999")
"""The parts that are tried together, and then with one of them missing."""


@dataclass(frozen=True)
class Part:
    """A line of the table: what is tried, and the flags that differ from the first line."""

    name: str
    flags: tuple[str, ...] = ()
    twice: bool = False
    """Whether to take twice the steps: the time that a second pass over each batch costs."""

    @property
    def folder(self) -> str:
        """Its folder's name."""
        return "-".join("".join(letter if letter.isalnum() else " " for letter in self.name.lower()).split())


PARTS = [
    Part("none"),
    Part("twice the steps", twice=True),
    Part("R-Drop 5", ("--r-drop", "5")),
    Part("R-Drop 1", ("--r-drop", "1")),
    Part("SimCut 3", ("--simcut", "3")),
    Part("subword sampling", ("--unigram-temperature", "5")),
    Part("EMA", ("--ema", "0.999")),
    Part("word dropout", ("--word-dropout", "0.1")),
    Part("layer dropout", ("--layer-dropout", "0.1")),
    Part("no label smoothing", ("--label-smoothing", "0")),
    Part("no dropout", ("--dropout", "0")),
    Part("rate falls as 1/sqrt(step)", ("--schedule", "inverse-sqrt")),
    Part("R-Drop 5 and EMA", UNITED),
    Part("R-Drop 5, EMA, subword sampling", (*UNITED, "--unigram-temperature", "5")),
]


def typed(text: str) -> Part:
    """A part from the command line, `NAME: FLAGS`."""
    name, _, flags = text.partition(":")
    return Part(name.strip(), tuple(flags.split()))
