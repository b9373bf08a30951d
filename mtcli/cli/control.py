"""The flags that say what translations must and must not contain, and the files that they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtcli.errors import DataError, UsageError

if TYPE_CHECKING:
    from mtcli.decoding.terms import Terms
    from mtcli.decoding.wishes import Speller, Wishes

PANEL = "control"

PrefixesOption = Annotated[
    Path | None,
    typer.Option(
        "--prefixes",
        help="how each line's translation begins, line by line, empty for anyhow; the last word may go on, unless a"
        " space follows it",
        rich_help_panel=PANEL,
    ),
]
ForbidOption = Annotated[
    list[str] | None,
    typer.Option("--forbid", help="a word that no translation contains; repeatable", rich_help_panel=PANEL),
]
ForbidFileOption = Annotated[
    Path | None, typer.Option("--forbid-file", help="such words, one per line", rich_help_panel=PANEL)
]
RequireOption = Annotated[
    list[str] | None,
    typer.Option("--require", help="a word that every translation contains; repeatable", rich_help_panel=PANEL),
]
TermsOption = Annotated[
    Path | None,
    typer.Option(
        "--terms",
        help="a terminology, SOURCE TAB TARGET per line: where the source term occurs, the translation contains the"
        " target term; of overlapping terms the longest counts",
        rich_help_panel=PANEL,
    ),
]
IgnoreCaseOption = Annotated[
    bool,
    typer.Option("--ignore-case", help="source terms of --terms occur in any case", rich_help_panel=PANEL),
]


@dataclass(frozen=True)
class Control:
    """What the flags ask for, their files read."""

    prefixes: Prefixes | None
    forbidden: list[str]
    required: list[str]
    terms: Terms | None

    def wishes(self, tokenizer: Speller) -> Wishes | None:
        """The wishes for translations with this tokenizer; None if there are none."""
        from mtcli.decoding.wishes import Wishes

        if not (self.prefixes or self.forbidden or self.required or self.terms):
            return None
        return Wishes(tokenizer, self.forbidden, self.required, self.terms)


class Prefixes:
    """The lines of `--prefixes`, which must be as many as those that are translated."""

    def __init__(self, path: Path, file: Path | None) -> None:
        """Read the prefixes for the lines of `file`, or of stdin, whose number is known at its end only."""
        from mtcli.cli.text import lines_of
        from mtcli.data.lines import count_lines
        from mtcli.data.normalize import normalize

        lines = list(lines_of(path))
        self.texts = [normalize(line) + " " * line[-1:].isspace() for line in lines]
        self.names = str(path), "stdin" if is_stdin(file) else str(file)
        if file and not is_stdin(file) and file.is_file():  # of a pipe, what is counted could not be read again
            self.expect(count_lines(str(file)))

    def check(self, wishes: Wishes, longest: int | None) -> None:
        """Raise `DataError` for one that a model which predicts `longest` tokens cannot write."""
        for number, text in enumerate(self.texts, 1):
            if not text.strip():
                continue
            try:
                wishes.tokens_of(text, longest)
            except DataError as error:
                raise DataError(f"{self.names[0]} line {number:,}: {error.message}", *error.details) from error

    def of(self, start: int, count: int) -> list[str]:
        """The prefixes of `count` lines after `start`; `DataError` if there are not so many."""
        if start + count > len(self.texts):
            self.refuse(f"{self.names[1]} has more")
        return self.texts[start : start + count]

    def expect(self, lines: int) -> None:
        """Raise `DataError` unless there are as many prefixes as lines."""
        if lines != len(self.texts):
            self.refuse(f"{self.names[1]} has {lines:,}")

    def refuse(self, difference: str) -> None:
        """Raise `DataError` for another number of lines."""
        raise DataError(
            f"{self.names[0]} has {len(self.texts):,} lines but {difference}", "the two must match line by line"
        )


def read_control(
    file: Path | None,
    prefixes: Path | None,
    forbid: list[str] | None,
    forbid_file: Path | None,
    require: list[str] | None,
    terms: Path | None,
    ignore_case: bool,
) -> Control:
    """What the flags ask for in the translation of `file`; `UsageError` or `DataError` if that cannot be meant."""
    from mtcli.cli.text import lines_of
    from mtcli.data.normalize import normalize

    if sum(map(is_stdin, (file, *(path for path in (prefixes, forbid_file, terms) if path)))) > 1:
        raise UsageError("only one of the files can be stdin")
    if ignore_case and not terms:
        raise UsageError("--ignore-case means nothing without --terms")
    listed = [line for line in lines_of(forbid_file) if normalize(line)] if forbid_file else []
    return Control(
        Prefixes(prefixes, file) if prefixes else None,
        words("--forbid", [*(forbid or []), *listed]),
        words("--require", require or []),
        read_terms(terms, ignore_case) if terms else None,
    )


def words(flag: str, texts: list[str]) -> list[str]:
    """The words as text is normalised; `UsageError` if one is empty."""
    from mtcli.data.normalize import normalize

    normalised = [normalize(text) for text in texts]
    if not all(normalised):
        raise UsageError(f"{flag} {texts[normalised.index('')]!r} names no word")
    return normalised


def read_terms(path: Path, ignore_case: bool) -> Terms:
    """The terminology in a file; `DataError` for a line that is no pair, or that contradicts another."""
    from mtcli.cli.text import lines_of
    from mtcli.data.normalize import normalize
    from mtcli.decoding.terms import Terms

    entries: dict[str, str] = {}
    for number, line in enumerate(lines_of(path), 1):
        if not normalize(line):
            continue
        pair = [normalize(term) for term in line.split("\t")]
        if len(pair) != 2 or not all(pair):
            raise DataError(
                f"{path} line {number:,} is no pair of terms: {line[:60]!r}",
                "a line has a source term, a tab and a target term",
            )
        source = pair[0].lower() if ignore_case else pair[0]
        if entries.setdefault(source, pair[1]) != pair[1]:
            raise DataError(
                f"{path} line {number:,} asks for {pair[1]!r} where {pair[0]!r} occurs, an earlier one for"
                f" {entries[source]!r}",
                "keep one of the two",
            )
    return Terms(entries, ignore_case)


def is_stdin(path: Path | None) -> bool:
    """Whether text comes from stdin."""
    return path is None or str(path) == "-"
