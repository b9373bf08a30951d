"""What a reader of some format finds in a corpus, pair by pair, before anything is normalised or dropped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mtcli.errors import DataError


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a file or data set, a line and, if it is known, a byte, both counted from 1."""

    file: str
    line: int
    byte: int | None = None

    def __str__(self) -> str:
        return f"{self.file} line {self.line:,}" + ("" if self.byte is None else f", byte {self.byte:,}")


@dataclass(frozen=True, slots=True)
class Row:
    """A pair as it was written."""

    source: str
    target: str
    place: Place


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that holds no pair; `reason` is one of few, `detail` says what this line has instead."""

    reason: str
    place: Place
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


class Reader(Protocol):
    """One format."""

    def rows(self) -> Iterator[Row | Unreadable]:
        """Every line, in order, streaming; may be called again. Raises `DataError`."""

    def digest(self) -> str:
        """SHA-256 of the content, so that equal digests mean equal rows."""


def digest_of_files(paths: list[str]) -> str:
    """SHA-256 over the bytes of files, as they are on disk."""
    whole = hashlib.sha256()
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return whole.hexdigest()


def sides(record: Any, languages: tuple[str, str], place: Place) -> Row | Unreadable:
    """The pair in a record: `{"translation": {"en": ..., "de": ...}}`, or `source` and `target`, or two languages."""
    inner = record.get("translation", record) if isinstance(record, Mapping) else record
    if not isinstance(inner, Mapping):
        return Unreadable("no sentence pair", place, f"it is {type(inner).__name__}, not an object")
    for source, target in (languages, ("source", "target")):
        if source in inner and target in inner:
            break
    else:
        return Unreadable("no sentence pair", place, f"it has {', '.join(map(str, inner)) or 'nothing'}")
    if not (isinstance(inner[source], str) and isinstance(inner[target], str)):
        return Unreadable("no sentence pair", place, f"{source} and {target} are not both text")
    return Row(inner[source], inner[target], place)
