"""Seeded chance that falls alike under every Python version."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws from `random.Random(seed).random()` only: no other method's sequence is promised to stay the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random.random() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, all equally likely."""
        return choices[self.between(0, len(choices) - 1)]

    def weigh(self, choices: Sequence[tuple[T, int]]) -> T:
        """One of the choices, in proportion to the weights beside them."""
        ticket = self.between(1, sum(weight for _, weight in choices))
        for choice, weight in choices:
            ticket -= weight
            if ticket <= 0:
                return choice
        raise AssertionError("the ticket is at most the sum of the weights")

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a new order (Fisher-Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.between(0, last)
            order[last], order[other] = order[other], order[last]
        return order
