r"""Lines of UTF-8 text from a stream of bytes, one at a time; only `\n` ends a line."""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mtcli.data.compressed import DamagedError, open_text
from mtcli.errors import DataError

LONGEST_LINE = 1 << 24
"""Bytes. A line beyond this is no sentence but another kind of file, or a bomb."""

SNIFFED_LINES = 16
"""Lines in which UTF-16 without a byte order mark is looked for."""


@dataclass(frozen=True, slots=True)
class Line:
    r"""One line without its end: `\n` or `\r\n`.

    `number` counts from 1. `invalid_at` is None, or the byte of the line, counted from 1, where it stops being
    UTF-8; then `text` has U+FFFD in place of what cannot be read.
    """

    number: int
    text: str
    invalid_at: int | None = None


def read_lines(stream: BinaryIO, name: str) -> Iterator[Line]:
    """The lines of `stream`, each as soon as it has arrived; `name` says in errors where they come from.

    A byte order mark at the start is removed. A last line need not end. Raises `DataError` for UTF-16, for a line
    longer than `LONGEST_LINE`, and, with the number of lines read, for a file that turns out to be damaged.
    """
    for number, raw in enumerate(_raw_lines(stream, name), start=1):
        if number <= SNIFFED_LINES:
            _refuse_utf16(raw, name, number)
        mark = len(BOM_UTF8) if number == 1 and raw.startswith(BOM_UTF8) else 0
        body = raw[mark:].removesuffix(b"\n").removesuffix(b"\r")
        try:
            yield Line(number, body.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield Line(number, body.decode("utf-8", "replace"), mark + error.start + 1)


def count_lines(path: str) -> int:
    """The number of lines that `read_lines` gives for a file; `DataError` if it cannot be read to its end."""
    lines, last = 0, b"\n"
    with open_text(path) as stream:
        try:
            # read1, because read would lose what comes before damage in the same call.
            while chunk := stream.read1(1 << 16):
                lines, last = lines + chunk.count(b"\n"), chunk[-1:]
        except (DamagedError, OSError) as error:
            raise _damaged(path, error, lines) from error
    return lines + (last != b"\n")


def line_lengths(path: str) -> Iterator[int]:
    """The bytes in each line of a file."""
    with open_text(path) as stream:
        for raw in _raw_lines(stream, path):
            yield len(raw)


def _raw_lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    number = 0
    while True:
        try:
            raw = stream.readline(LONGEST_LINE + 1)
        except (DamagedError, OSError) as error:
            raise _damaged(name, error, number) from error
        if not raw:
            return
        number += 1
        if len(raw) > LONGEST_LINE:
            raise DataError(
                f"{name} line {number:,} is longer than {LONGEST_LINE >> 20} MiB",
                "a corpus is text with one sentence in a line, and lines end with \\n",
            )
        yield raw


def _damaged(name: str, error: DamagedError | OSError, lines: int) -> DamagedError:
    reason = (
        error.reason if isinstance(error, DamagedError) else f"cannot be read further ({error.strerror or error})"
    )
    return DamagedError(name, reason, lines)


def _refuse_utf16(raw: bytes, name: str, number: int) -> None:
    """Raise `DataError` for a byte order mark of UTF-16, or NULs in almost every second place of a line."""
    encoding = ""
    if number == 1 and raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        encoding = "UTF-16"
    elif b"\0" in raw and len(raw) >= 8:
        even, odd = raw[0::2].count(0), raw[1::2].count(0)
        if min(even, odd) == 0 and 8 * max(even, odd) >= 3 * len(raw):
            # Later lines of a little-endian file begin with a half of the line end before: both orders look alike.
            encoding = "UTF-16" if number > 1 else "UTF-16LE" if odd else "UTF-16BE"
    if encoding:
        raise DataError(
            f"{name} is {encoding}, not UTF-8",
            f"convert it: iconv -f {encoding} -t UTF-8 < {name} > FILE",
        )
