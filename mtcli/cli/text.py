"""Text from a file or stdin, for the commands that read one sentence per line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mtcli.cli.tally import Tally
from mtcli.data.compressed import open_text
from mtcli.data.lines import read_lines
from mtcli.errors import DataError, UsageError


def lines_of(path: Path | None) -> Iterator[str]:
    """The lines of a file, or of stdin if there is none, each as soon as it arrives, as they are written.

    What is not UTF-8 is read as U+FFFD, and counted on stderr at the end: lines out are always lines in.
    """
    invalid = Tally()
    name = str(path) if path and str(path) != "-" else "stdin"
    with standard_input() if name == "stdin" else open_text(name) as stream:
        for line in read_lines(stream, name):
            if line.invalid_at:
                invalid.add(line.number)
            yield line.text
    invalid.warn(f"of {name} not UTF-8, read with U+FFFD")


def standard_input() -> BinaryIO:
    """Stdin as bytes, opened anew: Python aborts at exit if a thread still waits inside `sys.stdin`."""
    if sys.stdin is None:
        raise DataError("stdin is closed")
    if sys.stdin.isatty():
        print("reading from the terminal; end with Ctrl-D", file=sys.stderr)
    return open(sys.stdin.fileno(), "rb", closefd=False)


def refuse_overwriting(output: Path | None, *inputs: Path | None) -> None:
    """Raise `UsageError` if a file to write is one to read, which would be empty by then."""
    if output and output.is_file() and any(path and path.is_file() and output.samefile(path) for path in inputs):
        raise UsageError(f"{output} would be overwritten before it is read", "write to another file")


def both(first: Path, second: Path) -> tuple[list[str], list[str]]:
    """The lines of two files that must match line by line; `DataError` if they do not."""
    if first == second == Path("-"):
        raise UsageError("only one of the two files can be stdin")
    texts = list(lines_of(first)), list(lines_of(second))
    if len(texts[0]) != len(texts[1]):
        raise DataError(
            f"{first} has {len(texts[0]):,} lines but {second} has {len(texts[1]):,}",
            "the two must match line by line",
        )
    return texts
