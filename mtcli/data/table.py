"""A corpus in one file: two columns of tab-separated text, or a JSON object in each line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from mtcli.data.compressed import open_text
from mtcli.data.lines import read_lines
from mtcli.data.rows import Place, Row, Unreadable, digest_of_files, sides


@dataclass(frozen=True)
class Table:
    """A file in which each line is a pair."""

    file: str

    def rows(self) -> Iterator[Row | Unreadable]:
        """The pairs; empty lines are pairs of two empty sentences."""
        with open_text(self.file) as stream:
            for line in read_lines(stream, self.file):
                place = Place(self.file, line.number, line.invalid_at)
                if line.invalid_at is not None:
                    yield Unreadable("invalid UTF-8", place)
                elif not line.text.strip():
                    yield Row("", "", place)
                else:
                    yield self.row(line.text, place)

    def digest(self) -> str:
        """SHA-256 of the file."""
        return digest_of_files([self.file])

    def row(self, text: str, place: Place) -> Row | Unreadable:
        """The pair in one line."""
        raise NotImplementedError


@dataclass(frozen=True)
class TabSeparated(Table):
    """Source, a tab, target; no header, and no quoting: a quotation mark is text."""

    def row(self, text: str, place: Place) -> Row | Unreadable:
        """The two columns."""
        columns = text.split("\t")
        if len(columns) != 2:
            return Unreadable("not 2 columns", place, f"it has {len(columns)}")
        return Row(columns[0], columns[1], place)


@dataclass(frozen=True)
class JsonLines(Table):
    """An object in each line, in one of the shapes that `sides` reads."""

    languages: tuple[str, str]

    def row(self, text: str, place: Place) -> Row | Unreadable:
        """The pair in the object."""
        try:
            record = json.loads(text)
        # ValueError also for an integer of over 4,300 digits, RecursionError for brackets nested a thousand deep.
        except (ValueError, RecursionError) as error:
            return Unreadable("not JSON", place, str(error))
        return sides(record, self.languages, place)
