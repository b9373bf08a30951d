"""Lines of which something is said at the end, without remembering them all."""

from __future__ import annotations

import sys

SHOWN = 3


class Tally:
    """How many lines there were, and the numbers of the first few: input may be endless."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[int] = []

    def add(self, number: int, counts: object = True) -> None:
        """Count a line, if it counts."""
        if counts:
            self.count += 1
            self.first = [*self.first, number][:SHOWN]

    def warn(self, what: str, one: str = "", several: str = "") -> None:
        """Say on stderr what is true of the lines, with a verb for one of them or for several; nothing of none."""
        if self.count:
            lines = f"1 line {one}" if self.count == 1 else f"{self.count:,} lines {several}"
            print(f"warning: {lines.strip()} {what} (first: {', '.join(map(str, self.first))})", file=sys.stderr)
