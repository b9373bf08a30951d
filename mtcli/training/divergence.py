"""When training diverges: updates that are not finite, or a loss that has risen for good."""

from __future__ import annotations

import math
from dataclasses import replace

from mtcli import recipe as recipes
from mtcli.errors import DivergenceError
from mtcli.settings import Recipe
from mtcli.training.meter import StepMetrics
from mtcli.training.state import Progress, TrainState, Trend

WINDOW = 20
"""Steps whose loss is taken together: over so many, the lengths of their sentences even out."""
HIGH_WINDOWS = 5
"""So many windows in a row have to be high: what a model recovers from takes some dozens of steps."""
LEAST_RISE = 0.5
"""Nats per token; less is never divergence: it matters while little has been learned, and half of it is noise."""


class SetbackError(DivergenceError):
    """Training diverged, and may go on from a checkpoint of the step `sound` or one before it."""

    def __init__(self, reason: str, sound: int) -> None:
        super().__init__(
            f"training diverged: {reason}", "try a smaller --lr, more --warmup-steps, or --precision fp32"
        )
        self.sound = sound


def notice(state: TrainState, metrics: StepMetrics) -> None:
    """Count what a step did; raise `SetbackError` if it was one too many."""
    count_skipped(state, metrics.gradient_norm)
    trend, loss = state.progress.trend, float(metrics.loss)
    if math.isfinite(loss):
        trend.total += loss
        trend.tokens += metrics.target_tokens
    if state.progress.step % WINDOW == 0 and trend.tokens:
        judge(state.progress, knowing_nothing=math.log(len(state.model.output.weight)))


def count_skipped(state: TrainState, norm: float) -> None:
    """Count an update whose gradient was not finite; `SetbackError` when they are ten in a row or over 1 %."""
    progress = state.progress
    if math.isfinite(norm):
        progress.skipped_in_a_row = 0
        return
    if state.precision.searching:
        progress.rescaled += 1
        return
    progress.skipped += 1
    progress.skipped_in_a_row += 1
    if progress.skipped_in_a_row >= 10 or progress.skipped > max(10, progress.step // 100):
        raise SetbackError(
            f"{progress.skipped} of {progress.step} updates had gradients that are not finite",
            sound=progress.step - progress.skipped_in_a_row,
        )


def judge(progress: Progress, knowing_nothing: float) -> None:
    """End a window; `SetbackError` if it and those before it have been too high for too long.

    Too high is a loss by which half of what was learned is lost: half-way back from the lowest one to that of a
    model which `knows nothing`, the log of its vocabulary. So the line keeps away from whatever a high rate, a
    restarted schedule, fine-tuning on another domain or a streak of hard sentences does to a model that goes on
    learning; the loss of one that has collapsed to word frequencies, or exploded, is beyond it.
    """
    trend = progress.trend
    loss = trend.total / trend.tokens
    trend.total, trend.tokens = 0.0, 0
    lowest = loss if trend.lowest is None else trend.lowest
    line = max(lowest + LEAST_RISE, (lowest + knowing_nothing) / 2)
    trend.high = trend.high + 1 if loss > line else 0
    trend.lowest = min(lowest, loss)
    if trend.high == HIGH_WINDOWS:
        raise SetbackError(
            f"the training loss has been above {line:.1f} for {HIGH_WINDOWS * WINDOW} steps, after {lowest:.1f}",
            # One more window: what had begun in it need not have shown.
            sound=progress.step - (HIGH_WINDOWS + 1) * WINDOW,
        )


def forget(progress: Progress, before: Recipe, now: Recipe) -> Progress:
    """The progress of a run that goes on with other settings: they may move the loss, and a new rate is meant."""
    if recipes.changes(before, now)["warn"]:
        progress = replace(progress, trend=Trend())
    if before.training.lr != now.training.lr:
        progress = replace(progress, rate_halvings=0)
    return progress
