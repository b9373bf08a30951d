"""How fast training is: the loop itself, watched by one who stands where a `Run` stands and leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from jaxtyping import Int
from torch import Tensor

from mtcli.data.batches import Place
from mtcli.layout import Batch
from mtcli.machine import Clock
from mtcli.training.companions import Batches
from mtcli.training.meter import Meter, StepMetrics
from mtcli.training.observer import Observer
from mtcli.training.phases import Phases
from mtcli.training.run import REPORT_SECONDS

WINDOWS = 5
WARM = 2
"""The mark that ends the warm-up, counted from the one at the beginning; then come as many as there are windows."""


@dataclass(frozen=True)
class Shape:
    """What a batch holds: how many places there are for tokens, and the lengths of its sentences with EOS."""

    places: int
    source: Int[Tensor, " b"]
    target: Int[Tensor, " b"]


class RememberedBatches:
    """Batches whose shapes are kept."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.shapes: list[Shape] = []

    def from_(self, place: Place, rank: int = 0, world: int = 1) -> Iterator[tuple[Batch, Place]]:
        """As the batches."""
        for batch, behind in self.batches.from_(place, rank, world):
            places = batch.source.numel() + batch.target_out.numel()
            self.shapes.append(Shape(places, batch.source_rows.lengths, batch.target_rows.lengths))
            yield batch, behind


@dataclass(frozen=True)
class Mark:
    """What was done at a time."""

    seconds: float
    steps: int = 0
    batches: int = 0
    tokens: int = 0
    target_tokens: int = 0


class Pace:
    """Sets a mark after the first step, after a warm-up, after each window, and after a look at the phases.

    Each of these stretches but the first step ends with the step in which it becomes `window` seconds old. Marks are
    set by a clock that waits for a GPU, the clock of the phases; whether it is time for one, a `glance` at the same
    clock tells, without waiting: steps in between are not held up. Standings are shown as in a run; nothing is
    validated or saved.
    """

    interrupted = False

    def __init__(
        self, meter: Meter, phases: Phases, window: float, observer: Observer, glance: Clock = time.perf_counter
    ) -> None:
        self.meter = meter
        self.phases = phases
        self.window = window
        self.observer = observer
        self.glance = glance
        self.shown = glance()
        self.marks = [Mark(phases.clock())]
        self.done = self.marks[0]

    def report(self, metrics: StepMetrics) -> None:
        """Count one step; end a stretch when it is time."""
        done = self.done
        self.done = replace(
            done,
            steps=done.steps + 1,
            batches=done.batches + self.meter.settings.accumulate,
            tokens=done.tokens + metrics.tokens,
            target_tokens=done.target_tokens + metrics.target_tokens,
        )
        self.meter.count(metrics)
        if self.glance() - self.shown >= REPORT_SECONDS:
            self.shown = self.glance()
            self.observer.stand(self.meter.standing(metrics))
        if len(self.marks) == 1 or self.glance() - self.marks[-1].seconds >= self.window:
            self.end_stretch()

    def end_stretch(self) -> None:
        """Set a mark; after the windows, begin to look at the phases."""
        self.marks.append(replace(self.done, seconds=self.phases.clock()))
        if len(self.marks) == WARM:
            self.foretell(self.marks[-1].seconds - self.marks[0].seconds)
        self.phases.looking = len(self.marks) - 1 == WARM + WINDOWS
        self.meter.restart()

    def foretell(self, first: float) -> None:
        """Say how long it takes; the first step is slower than others."""
        rest = (WINDOWS + 2) * max(self.window, first)
        self.observer.say(f"the first step took {first:.1f} s; the rest takes at most about {rest:.0f} s")

    def finished(self) -> str | None:
        """Whether the last mark is set."""
        return "measured" if len(self.marks) - 1 > WARM + WINDOWS else None

    def validate(self) -> None:
        """Not here."""

    def save(self) -> None:
        """Not here."""
