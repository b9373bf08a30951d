"""A run: what happens around the steps. It reports, validates, saves, keeps the best, and knows when to end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from mtcli.checkpoint import steps, store
from mtcli.checkpoint.store import Checkpoint
from mtcli.settings import Recipe
from mtcli.training.interrupt import Interrupt
from mtcli.training.log import Log
from mtcli.training.observer import Observer, Standing, Validation
from mtcli.training.state import TrainState
from mtcli.training.validate import Validator

REPORT_SECONDS = 1.0
LOG_STEPS = 50
"""Standings are shown this often in seconds, and logged this often in steps."""


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
    """What was counted since the last standing."""

    started: float
    loss: Tensor | float = 0.0
    target_tokens: int = 0
    tokens: int = 0


class Run:
    """One directory, one state, and whoever watches."""

    def __init__(
        self,
        directory: Path,
        recipe: Recipe,
        state: TrainState,
        validator: Validator,
        epoch_batches: int,
        watch: Watch,
    ) -> None:
        self.directory = directory
        self.recipe = recipe
        self.state = state
        self.validator = validator
        self.epoch_batches = epoch_batches
        self.observer = watch.observer
        self.interrupted = watch.interrupt
        self.log = Log(directory, recipe.training.tensorboard, watch.observer)
        self.clock = time.monotonic()
        self.began = replace(state.progress)
        self.shown = 0.0
        self.log_window = Window(self.clock)
        self.validation: tuple[int, Validation] | None = None
        self.saved_step = state.progress.step if state.progress.step else -1

    def report(self, metrics: StepMetrics) -> None:
        """Count one step; show where the run stands about once a second, and log it every few steps."""
        now = time.monotonic()
        progress = self.state.progress
        progress.seconds += now - self.clock
        self.clock = now
        window = self.log_window
        window.loss = window.loss + metrics.loss
        window.target_tokens += metrics.target_tokens
        window.tokens += metrics.tokens
        logging = progress.step % LOG_STEPS == 0 or bool(self.interrupted) or self.finished() is not None
        if not logging and now - self.shown < REPORT_SECONDS:
            return
        standing = self.standing(metrics, now)
        self.observer.stand(standing)
        self.shown = now
        if logging:
            self.log.standing(standing)
            self.log_window = Window(now)

    def standing(self, metrics: StepMetrics, now: float) -> Standing:
        """The figures since the last logged standing."""
        window, progress = self.log_window, self.state.progress
        return Standing(
            step=progress.step,
            epoch=progress.place.epoch,
            loss=float(window.loss) / max(1, window.target_tokens),
            lr=metrics.lr,
            tokens_per_second=window.tokens / max(1e-9, now - window.started),
            gradient_norm=metrics.gradient_norm,
            seconds=progress.seconds,
            remaining=self.remaining(),
            skipped=progress.skipped,
        )

    def remaining(self) -> float | None:
        """Seconds to the nearest planned end, at the pace of this process, validations and saves included."""
        settings, progress = self.recipe.training, self.state.progress
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

    def validate(self) -> None:
        """Judge the model; a new best is saved at once."""
        progress, settings = self.state.progress, self.recipe.training
        validation = self.validator(self.state)
        self.validation = (progress.step, validation)
        value = validation.value(settings.metric)
        # NaN compares as no improvement, so a diverged model is never the best.
        better = value > (-math.inf if progress.best is None else progress.best)
        if better:
            progress.best, progress.best_step, progress.validations_since_best = value, progress.step, 0
        else:
            progress.validations_since_best += 1
        self.log.validation(progress.step, validation)
        patience = settings.patience - progress.validations_since_best if settings.patience else None
        self.observer.validated(validation, better, patience)
        self.warn_if_hopeless(validation)
        now = time.monotonic()
        progress.seconds += now - self.clock
        self.clock = now
        if better:
            self.save()
            self.point_to_best(value)
            steps.prune(self.directory, settings.keep)
        self.log_window.started += time.monotonic() - now + validation.seconds

    def warn_if_hopeless(self, validation: Validation) -> None:
        """Say so when the model has seen much and translates nothing."""
        bleu = validation.value("bleu")
        if bleu < 1 and self.state.progress.step >= 4 * self.recipe.training.validate_every:
            self.observer.warn(
                f"BLEU is still {bleu:.1f}: look at the sample translations; are the two sides of the corpus aligned?"
            )

    def save(self) -> None:
        """Write a checkpoint of this step, unless it is there; drop the ones no longer kept."""
        progress = self.state.progress
        if self.saved_step == progress.step:
            return
        path = store.save(self.directory, self.checkpoint())
        self.saved_step = progress.step
        steps.point(self.directory, "latest", progress.step)
        steps.prune(self.directory, self.recipe.training.keep)
        self.observer.saved(path)

    def mend_pointer(self) -> None:
        """Let `best.json` name the best step where a kill came between its saving and its naming."""
        progress = self.state.progress
        if progress.best is None or steps.recorded(self.directory, "best") == progress.best_step:
            return
        if progress.best_step in steps.steps(self.directory):
            self.point_to_best(progress.best)

    def point_to_best(self, value: float) -> None:
        """Let `best.json` name the best step, with what makes it the best."""
        about: dict[str, float] = {self.recipe.training.metric: abs(value)}
        steps.point(self.directory, "best", self.state.progress.best_step, about)

    def checkpoint(self) -> Checkpoint:
        """All that must outlive this process."""
        step = self.state.progress.step
        validated, validation = self.validation or (None, None)
        return Checkpoint(
            recipe=self.recipe,
            tokenizer=self.validator.tokenizer.files(),
            weights=self.state.weights(),
            scores=validation.as_json() if validation and validated == step else {},
            step=step,
            resume=self.state.resume(),
        )

    def finished(self) -> str | None:
        """Why the run is at its end; None while it is not."""
        settings, progress = self.recipe.training, self.state.progress
        if settings.max_steps and progress.step >= settings.max_steps:
            return f"{progress.step:,} steps (--max-steps)"
        if settings.max_epochs and progress.place.epoch >= settings.max_epochs:
            return f"{progress.place.epoch} epochs (--max-epochs)"
        if settings.max_minutes and progress.seconds >= 60 * settings.max_minutes:
            return f"{progress.seconds / 60:.0f} minutes (--max-minutes)"
        if settings.patience and progress.validations_since_best >= settings.patience:
            return f"{progress.validations_since_best} validations without a new best (--patience)"
        return None


@dataclass(frozen=True)
class Watch:
    """Who looks on: an observer to tell, and an interrupt to heed."""

    observer: Observer
    interrupt: Interrupt
