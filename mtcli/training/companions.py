"""Whom the loop works with: who gives it batches, and who hears of its steps; a measurement may stand in for both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from mtcli.data.batches import Place
from mtcli.layout import Batch
from mtcli.training.meter import StepMetrics


class Batches(Protocol):
    """Gives batches; in training, a `data.batches.Batches`."""

    def from_(self, place: Place, rank: int = 0, world: int = 1) -> Iterator[tuple[Batch, Place]]:
        """Of the batches from `place` on, without end, those of one of `world` ranks, each with the place behind."""


class Keeper(Protocol):
    """Decides what happens around the steps; in training, a `Run`."""

    @property
    def interrupted(self) -> object:
        """True, as conditions take it, when somebody asked to stop."""

    def report(self, metrics: StepMetrics) -> None:
        """A step was taken."""

    def validate(self) -> None:
        """A validation is due."""

    def save(self) -> None:
        """A checkpoint is due."""

    def finished(self) -> str | None:
        """Why training is at its end; None while it is not."""
