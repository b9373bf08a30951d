"""What is counted along a run: its time, its pace, and its loss since it was last reported."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from torch import Tensor

from mtcli.settings import TrainingSettings
from mtcli.training.observer import Standing
from mtcli.training.state import Progress


@dataclass(frozen=True)
class StepMetrics:
    """What one optimizer step did; `loss` is a sum over target tokens, in nats, still on the device."""

    loss: Tensor
    target_tokens: int
    tokens: int
    gradient_norm: float
    lr: float


@dataclass
class Window:
    """What was counted since the last logged standing."""

    started: float
    loss: Tensor | float = 0.0
    target_tokens: int = 0
    tokens: int = 0


class Meter:
    """Counts the steps of this process into a run's progress."""

    def __init__(self, progress: Progress, settings: TrainingSettings, epoch_batches: int) -> None:
        self.progress = progress
        self.settings = settings
        self.epoch_batches = epoch_batches
        self.began = replace(progress)
        self.clock = time.monotonic()
        self.window = Window(self.clock)

    def tick(self) -> None:
        """Add the time since the last tick to the run's."""
        now = time.monotonic()
        self.progress.seconds += now - self.clock
        self.clock = now

    def count(self, metrics: StepMetrics) -> None:
        """Count one step."""
        self.tick()
        self.window.loss = self.window.loss + metrics.loss
        self.window.target_tokens += metrics.target_tokens
        self.window.tokens += metrics.tokens

    def pause(self) -> None:
        """Count the time since the last tick as the run's, but not as time of its steps."""
        before = self.clock
        self.tick()
        self.window.started += self.clock - before

    def restart(self) -> None:
        """Begin another window."""
        self.window = Window(self.clock)

    def standing(self, metrics: StepMetrics, loss_scale: float | None) -> Standing:
        """The figures of the window, whose last step had these `metrics`."""
        window, progress = self.window, self.progress
        return Standing(
            step=progress.step,
            epoch=progress.place.epoch,
            loss=float(window.loss) / max(1, window.target_tokens),
            lr=metrics.lr,
            tokens_per_second=window.tokens / max(1e-9, self.clock - window.started),
            gradient_norm=metrics.gradient_norm,
            loss_scale=loss_scale,
            seconds=progress.seconds,
            remaining=self.remaining(),
            skipped=progress.skipped,
            rate_halvings=progress.rate_halvings,
        )

    def remaining(self) -> float | None:
        """Seconds to the nearest planned end, at the pace of this process, validations and saves included."""
        settings, progress = self.settings, self.progress
        pace = (progress.seconds - self.began.seconds) / max(1, progress.step - self.began.step)
        ends = []
        if settings.max_steps:
            ends.append(pace * (settings.max_steps - progress.step))
        if settings.max_epochs:
            epochs = settings.max_epochs - progress.place.epoch - progress.place.index / self.epoch_batches
            ends.append(pace * epochs * self.epoch_batches / settings.accumulate)
        if settings.max_minutes:
            ends.append(settings.max_minutes * 60 - progress.seconds)
        return max(0.0, min(ends)) if ends else None
