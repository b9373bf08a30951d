"""What became of every pair of a corpus: kept, or dropped for a reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mtcli.data.rows import Place

EXAMPLES = 3
"""Dropped pairs remembered for each reason."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """One pair that was dropped, why, and where it stands."""

    reason: str
    place: Place | None

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


@dataclass
class Account:
    """Every pair that was read is either kept or dropped: `read == kept + dropped.total()`, always."""

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    examples: list[Dropped] = field(default_factory=list)

    def keep(self) -> None:
        """Count one more pair that was read, and is kept."""
        self.read += 1
        self.kept += 1

    def drop(self, reason: str, place: Place | None = None) -> None:
        """Count one more pair that was read, and is dropped."""
        self.read += 1
        self._note(reason, place)

    def withdraw(self, reason: str, place: Place | None = None) -> None:
        """Drop a pair that an earlier stage kept, for example one with too many tokens."""
        if not self.kept:
            raise ValueError("nothing has been kept that could be withdrawn")
        self.kept -= 1
        self._note(reason, place)

    def as_json(self) -> dict[str, Any]:
        """The account in plain values."""
        return {
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(self.dropped.most_common()),
            "examples": [str(example) for example in self.examples],
        }

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.most_common())
        total = f"{self.dropped.total():,} dropped" + (f" ({reasons})" if reasons else "")
        return f"{self.read:,} read = {self.kept:,} kept + {total}"

    def _note(self, reason: str, place: Place | None) -> None:
        self.dropped[reason] += 1
        if self.dropped[reason] <= EXAMPLES:
            self.examples.append(Dropped(reason, place))
