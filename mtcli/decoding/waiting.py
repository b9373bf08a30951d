"""Sentences that wait until others have ended, so that a model always has as many to go on with as it can take."""

from __future__ import annotations

from typing import Protocol

from mtcli.model.seq2seq import Memory


class Waiting(Protocol):
    """Sentences that are read when there is room for them, the longest first."""

    def __len__(self) -> int:
        """How many are left."""

    def take(self, count: int) -> tuple[list[int], Memory]:
        """The next ones, at most `count`: which of the requests they belong to, and their memory."""


def room_for(waiting: Waiting | None, searched: int, room: int) -> int:
    """How many of them may come in among `searched` sentences where there is `room` in all; not only a few."""
    return room - searched if waiting and 4 * searched <= 3 * room else 0
