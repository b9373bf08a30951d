"""A run: what happens around the steps. It reports, validates, saves, keeps the best, and knows when to end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals

from mtcli.checkpoint import steps, store
from mtcli.checkpoint.store import Checkpoint
from mtcli.settings import Recipe
from mtcli.training.interrupt import Interrupt
from mtcli.training.log import Log
from mtcli.training.memory import parts_of
from mtcli.training.meter import Meter, StepMetrics
from mtcli.training.observer import Observer, Validation
from mtcli.training.state import TrainState
from mtcli.training.validate import Validator

REPORT_SECONDS = 1.0
LOG_STEPS = 50
"""Standings are shown this often in seconds, and logged this often in steps."""


class Run:
    """One directory, one state, and whoever watches."""

    def __init__(
        self, directory: Path, recipe: Recipe, state: TrainState, validator: Validator, batches: int, watch: Watch
    ) -> None:
        self.directory = directory
        self.recipe = recipe
        self.state = state
        self.validator = validator
        self.observer = watch.observer
        self.interrupt = watch.interrupt
        self.interrupted = False
        self.log = Log(directory, recipe.training.tensorboard and state.ranks.first, watch.observer)
        self.epoch_batches = batches
        self.shown = 0.0
        self.parts = parts_of(state, recipe.training.split)
        self.take_up()

    def take_up(self) -> None:
        """Go on from where the state stands: at a stored step, or at the start."""
        progress, settings = self.state.progress, self.recipe.training
        self.meter = Meter(progress, settings, self.epoch_batches, settings.accumulate * self.state.ranks.world)
        self.validation: tuple[int, Validation] | None = None
        self.saved_step = progress.step if progress.step else -1
        self.state.ranks.lead(self.mend_pointer)

    def report(self, metrics: StepMetrics) -> None:
        """Count one step, let the first rank tell of it, and agree on whether it was the last."""
        self.meter.count(metrics)
        if self.state.ranks.first:
            self.tell_of_memory()
            self.tell(metrics)
        self.agree()

    def tell(self, metrics: StepMetrics) -> None:
        """Show where the run stands about once a second, and log it every few steps."""
        logging = self.state.progress.step % LOG_STEPS == 0 or bool(self.interrupt) or self.finished() is not None
        now = time.monotonic()
        if not logging and now - self.shown < REPORT_SECONDS:
            return
        standing = self.meter.standing(metrics)
        self.observer.stand(standing)
        self.shown = now
        if logging:
            self.log.standing(standing)
            self.meter.restart()

    def agree(self) -> None:
        """Let all ranks know of a wish to stop that reached any of them until now, and go by the same clock.

        What comes after this waits for the next step: ranks that decide differently wait for each other for ever.
        """
        progress, heard = self.state.progress, self.interrupt.signal or 0
        number, progress.seconds = self.state.ranks.most(float(heard), progress.seconds)
        self.interrupted = number > 0
        if self.interrupted and not heard:
            self.interrupt.signal = Signals(int(number))

    def tell_of_memory(self) -> None:
        """Say so when memory ran out in the last step."""
        step, parts = self.state.progress.step, parts_of(self.state, self.recipe.training.split)
        if parts == self.parts:
            return
        self.parts = parts
        self.log.write({"event": "memory", "step": step, "parts": parts})
        self.observer.warn(
            f"memory ran out in step {step:,}: from here on the gradients of a batch are computed in"
            f" {parts} parts, one after the other, and added; the steps are the same"
        )

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
        if self.state.ranks.first:
            self.tell_validation(validation, better)
        self.meter.pause("validation")
        if better:
            self.save()
            self.state.ranks.lead(lambda: self.point_to_best(value))
            self.meter.pause("saving")
        self.agree()

    def tell_validation(self, validation: Validation, better: bool) -> None:
        """Show and log what a validation found."""
        progress, settings = self.state.progress, self.recipe.training
        self.log.validation(progress.step, validation)
        patience = settings.patience - progress.validations_since_best if settings.patience else None
        self.observer.validated(validation, better, patience)
        self.warn_if_hopeless(validation)

    def warn_if_hopeless(self, validation: Validation) -> None:
        """Say so when the model has seen much and translates nothing."""
        bleu = validation.value("bleu")
        if bleu < 1 and self.state.progress.step >= 4 * self.recipe.training.validate_every:
            self.observer.warn(
                f"BLEU is still {bleu:.1f}: look at the sample translations; are the two sides of the corpus aligned?"
            )

    def save(self) -> None:
        """Let the first rank write a checkpoint of this step, unless it is there; others may lend it their parts."""
        progress = self.state.progress
        if self.saved_step == progress.step:
            return
        checkpoint = self.checkpoint()
        path = self.state.ranks.lead(lambda: self.write(checkpoint))
        self.saved_step = progress.step
        self.observer.saved(path)
        self.meter.pause("saving")

    def write(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, and drop the ones no longer kept."""
        path = store.save(self.directory, checkpoint)
        steps.point(self.directory, "latest", self.state.progress.step)
        steps.prune(self.directory, self.recipe.training.keep)
        return path

    def mend_pointer(self) -> None:
        """Let `best.json` name the best step where a kill came between its saving and its naming."""
        progress = self.state.progress
        if progress.best is None or steps.recorded(self.directory, "best") == progress.best_step:
            return
        if progress.best_step in steps.steps(self.directory):
            self.point_to_best(progress.best)

    def point_to_best(self, value: float) -> None:
        """Let `best.json` name the best step, with what makes it the best; the one before is kept no longer."""
        about: dict[str, float] = {self.recipe.training.metric: abs(value)}
        steps.point(self.directory, "best", self.state.progress.best_step, about)
        steps.prune(self.directory, self.recipe.training.keep)

    def checkpoint(self) -> Checkpoint:
        """All that must outlive this process; a rank that does not write it may have less."""
        step, gathered, resume = self.state.progress.step, self.state.holding.gathered, self.state.resume()
        validated, validation = self.validation or (None, None)
        return Checkpoint(
            recipe=self.recipe,
            tokenizer=self.validator.tokenizer.files(),
            weights=gathered(self.state.weights()),
            scores=validation.as_json() if validation and validated == step else {},
            step=step,
            resume=replace(resume, tensors=gathered(resume.tensors)),
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
