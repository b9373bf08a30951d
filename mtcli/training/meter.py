"""What is counted along a run: its time and what that goes to, its pace, its loss since it was last reported."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from mtcli.settings import TrainingSettings
from mtcli.training.observer import Standing
from mtcli.training.state import Progress

Break = Literal["validation", "saving"]
"""What interrupts the steps."""


@dataclass(frozen=True)
class StepMetrics:
    """What one optimizer step did; `loss` is the cross-entropy, a sum over target tokens, in nats, on the device."""

    loss: Tensor
    target_tokens: int
    tokens: int
    gradient_norm: float
    lr: float
    loss_scale: float | None = None
    """Of fp16; None in other precisions."""


@dataclass
class Window:
    """What was counted since the last logged standing."""

    started: float
    loss: Tensor | float = 0.0
    target_tokens: int = 0
    tokens: int = 0


class Meter:
    """Counts the steps of this process into a run's progress; `clock` tells seconds."""

    def __init__(
        self,
        progress: Progress,
        settings: TrainingSettings,
        epoch_batches: int,
        step_batches: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.progress = progress
        self.settings = settings
        self.epoch_batches = epoch_batches
        self.step_batches = step_batches
        self.began = replace(progress)
        self.clock = clock
        self.ticked = clock()
        self.window = Window(self.ticked)
        self.breaks: dict[Break, float] = {"validation": 0.0, "saving": 0.0}
        """Seconds of this process that its steps did not have."""

    def tick(self) -> None:
        """Add the time since the last tick to the run's."""
        now = self.clock()
        self.progress.seconds += now - self.ticked
        self.ticked = now

    def count(self, metrics: StepMetrics) -> None:
        """Count one step."""
        self.tick()
        self.window.loss = self.window.loss + metrics.loss
        self.window.target_tokens += metrics.target_tokens
        self.window.tokens += metrics.tokens

    def pause(self, kind: Break) -> None:
        """Count the time since the last tick as the run's, but not as time of its steps."""
        before = self.ticked
        self.tick()
        self.breaks[kind] += self.ticked - before
        self.window.started += self.ticked - before

    def restart(self) -> None:
        """Begin another window."""
        self.window = Window(self.ticked)

    def standing(self, metrics: StepMetrics) -> Standing:
        """The figures of the window, whose last step had these `metrics`."""
        window, progress = self.window, self.progress
        return Standing(
            step=progress.step,
            epoch=progress.place.epoch,
            loss=float(window.loss) / max(1, window.target_tokens),
            lr=metrics.lr,
            tokens_per_second=window.tokens / max(1e-9, self.ticked - window.started),
            gradient_norm=metrics.gradient_norm,
            loss_scale=metrics.loss_scale,
            seconds=progress.seconds,
            remaining=self.remaining(),
            skipped=progress.skipped,
            rate_halvings=progress.rate_halvings,
            share_of_time=self.share_of_time(),
        )

    @property
    def elapsed(self) -> float:
        """Seconds that this process has trained, breaks included."""
        return self.progress.seconds - self.began.seconds

    def share_of_time(self) -> dict[str, float]:
        """What the seconds of this process went to, as shares of them."""
        breaks = {str(kind): seconds / max(1e-9, self.elapsed) for kind, seconds in self.breaks.items()}
        return {"steps": 1 - sum(breaks.values()), **breaks}

    def remaining(self) -> float | None:
        """Seconds to the nearest planned end, as the steps, validations and saves of this process went so far.

        Of a break that this process has not had yet, nobody knows how long it takes: it counts nothing.
        """
        settings, progress = self.settings, self.progress
        steps = []
        if settings.max_steps:
            steps.append(settings.max_steps - progress.step)
        if settings.max_epochs:
            batches = (settings.max_epochs - progress.place.epoch) * self.epoch_batches - progress.place.index
            steps.append(-(-batches // self.step_batches))
        ends = [self.duration(max(0, min(steps)))] if steps else []
        if settings.max_minutes:
            ends.append(max(0.0, settings.max_minutes * 60 - progress.seconds) + self.duration(0))
        return min(ends) if ends else None

    def duration(self, steps: int) -> float:
        """Seconds that so many more steps will take, with the breaks from this step to the last, which has both."""
        begun, now, last = self.began.step, self.progress.step, self.progress.step + steps
        seconds = steps * (self.elapsed - sum(self.breaks.values())) / max(1, now - begun)
        intervals: dict[Break, int] = {"validation": self.settings.validate_every, "saving": self.settings.save_every}
        for kind, every in intervals.items():
            # Standings are taken before the breaks of their step, so that these are still to come.
            past, coming = multiples(every, begun + 1, now - 1), multiples(every, now, last) + (last % every > 0)
            seconds += coming * self.breaks[kind] / max(1, past)
        return seconds


def multiples(of: int, first: int, last: int) -> int:
    """How many multiples of a number there are from `first` to `last`, which may be one before it."""
    return last // of - (first - 1) // of
