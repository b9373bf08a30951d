"""A corpus in two files, one for each language, that match line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from mtcli.data.alignment import parting
from mtcli.data.compressed import open_text
from mtcli.data.lines import Line, count_lines, line_lengths, read_lines
from mtcli.data.rows import Place, Row, Unreadable, digest_of_files
from mtcli.errors import DataError


@dataclass(frozen=True)
class ParallelFiles:
    """Two files whose lines with the same number are translations of each other; their lengths were compared."""

    source: str
    target: str

    @classmethod
    def open(cls, source: str, target: str) -> ParallelFiles:
        """Compare the numbers of lines first; `DataError` naming both if they differ."""
        counts = count_lines(source), count_lines(target)
        if counts[0] != counts[1]:
            raise DataError(
                f"{target} has {counts[1]:,} lines but {source} has {counts[0]:,}",
                "parallel files must match line by line" + _where_they_part(source, target),
            )
        return cls(source, target)

    def rows(self) -> Iterator[Row | Unreadable]:
        """The pairs of lines with the same number."""
        with open_text(self.source) as source_stream, open_text(self.target) as target_stream:
            sources, targets = read_lines(source_stream, self.source), read_lines(target_stream, self.target)
            for source, target in zip_longest(sources, targets):
                if source is None or target is None:
                    raise DataError(f"{self.source} or {self.target} changed while it was read")
                yield self._row(source, target)

    def digest(self) -> str:
        """SHA-256 over both files."""
        return digest_of_files([self.source, self.target])

    def _row(self, source: Line, target: Line) -> Row | Unreadable:
        for line, file in ((source, self.source), (target, self.target)):
            if line.invalid_at is not None:
                return Unreadable("invalid UTF-8", Place(file, line.number, line.invalid_at))
        return Row(source.text, target.text, Place(self.source, source.number))


def _where_they_part(source: str, target: str) -> str:
    line = parting(line_lengths(source), line_lengths(target))
    return "" if line is None else f"; judging by the lengths of lines, these part near line {line:,}"
