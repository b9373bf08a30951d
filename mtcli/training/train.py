"""From what the user asks for to a trained model in a directory; a stopped run goes on, a finished one says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from mtcli import catalog
from mtcli import recipe as recipes
from mtcli.checkpoint import durable, lock, steps, store
from mtcli.checkpoint.store import Checkpoint
from mtcli.data.batches import Batches
from mtcli.device import choose_device
from mtcli.errors import DataError, InterruptedRun, ModelError, ResourceError
from mtcli.model.build import build
from mtcli.settings import Recipe
from mtcli.training.divergence import SetbackError, forget
from mtcli.training.fitting import fitted
from mtcli.training.loop import fit
from mtcli.training.material import Material, gather
from mtcli.training.observer import Observer, Validation
from mtcli.training.plan import Request, settle
from mtcli.training.precision import Precision
from mtcli.training.rollback import roll_back
from mtcli.training.run import Run, Watch
from mtcli.training.state import Progress, TrainState
from mtcli.training.validate import Validator


@dataclass(frozen=True)
class Outcome:
    """How a run ended: why, where its best checkpoint is, and the last validation if this process made one."""

    reason: str
    best: Path
    validation: Validation | None


def train(request: Request, directory: Path, watch: Watch) -> Outcome:
    """Train into `directory`, or go on where a run in it stopped.

    Raises `UserError`s; among them `InterruptedRun`, after saving, when a signal asked to stop.
    """
    make_writable(directory)
    with lock.hold(directory):
        recipe = settle(request, directory, watch.observer)
        stored = newest(directory, watch.observer)
        if stored:
            refuse_foreign(stored, recipe, directory)
        material = gather(recipe, directory, stored, watch.observer)
        if not recipe.training.split:
            recipe = fitted(recipe, built(recipe, material), material.training, watch.observer)
        state = built(recipe, material)
        if stored:
            resume(state, stored, material, watch.observer)
            state.progress = forget(state.progress, stored.recipe, recipe)
        refuse_full_disk(state, recipe, directory)
        durable.write_file(directory / "recipe.toml", recipes.dump(recipe).encode())
        batches = Batches(material.training, recipe.training.max_tokens, recipe.training.seed)
        validator = Validator(material, recipe)
        run = Run(directory, recipe, state, validator, batches.steps_per_epoch(), watch)
        return ended(run, batches, lambda: built(recipe, material))


def make_writable(directory: Path) -> None:
    """Create the run's directory, and find out now whether it can be written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ResourceError(
            f"{directory} cannot be written: {error.strerror}", "choose another directory with -o"
        ) from error


def newest(directory: Path, observer: Observer) -> Checkpoint | None:
    """The newest sound checkpoint of the run; damaged ones are passed over loudly."""
    path, passed_over = steps.newest(directory)
    for sentence in passed_over:
        observer.warn(sentence)
    return store.load(path, resume=True) if path else None


def refuse_foreign(stored: Checkpoint, recipe: Recipe, directory: Path) -> None:
    """Raise `ModelError` if the run's recipe was edited, or removed, so that its checkpoints do not fit it."""
    if found := recipes.changes(stored.recipe, recipe)["refuse"]:
        raise ModelError(
            f"{directory / 'recipe.toml'} is not the recipe that the checkpoints beside it were trained with",
            *(
                f"{name}: {before!r} in the newest checkpoint, {after!r} in the recipe"
                for name, before, after in found
            ),
            "copy recipe.toml from the newest checkpoint to go on",
        )


def built(recipe: Recipe, material: Material) -> TrainState:
    """A fresh state; the seed decides every parameter."""
    device, tokenizer = choose_device(recipe.training.device), material.tokenizer
    torch.manual_seed(recipe.training.seed)
    model = build(recipe.model, tokenizer.source_size, tokenizer.target_size, tokenizer.joint).to(device)
    optimizer = catalog.load("optimizer", recipe.training.optimizer)(model, recipe.training)
    assert recipe.training.precision != "auto"
    return TrainState(
        model, optimizer, Precision(recipe.training.precision, device), Progress(), material.fingerprint
    )


def resume(state: TrainState, stored: Checkpoint, material: Material, observer: Observer) -> None:
    """Continue from a checkpoint of this run; `DataError` if it belongs to other corpora."""
    if stored.resume is None:
        raise ModelError("the newest checkpoint holds a model only, so training cannot go on from it")
    if stored.resume.values["data"] != material.fingerprint:
        raise DataError(
            "the corpora have changed since this run began",
            "restore them to go on, or choose another directory with -o to start anew",
        )
    began = stored.resume.values.get("machine", state.machine())
    if began != state.machine():
        observer.warn(
            f"this run was trained with {began} until now, and goes on with {state.machine()}:"
            " from here on its weights are not bit by bit what they would have been"
        )
    state.restore(stored.weights, stored.resume)
    observer.say(f"going on from step {state.progress.step:,}")


def refuse_full_disk(state: TrainState, recipe: Recipe, directory: Path) -> None:
    """Raise `ResourceError` if the checkpoints that are yet to come do not fit on the disk."""
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    one = 3 * 4 * parameters  # weights and Adam's two moments, in fp32
    # Those kept, the best, and one that is being written; those of an earlier start are there already.
    missing = max(1, recipe.training.keep + 2 - len(steps.steps(directory)))
    needed, free = one * missing, shutil.disk_usage(directory).free
    if free < needed:
        raise ResourceError(
            f"{directory} has {free / 1e9:.1f} GB free, and this run may need {needed / 1e9:.1f} GB for checkpoints",
            "free some space, or keep fewer with --keep",
        )


def ended(run: Run, batches: Batches, fresh: Callable[[], TrainState]) -> Outcome:
    """Run to the end, or to the wish to stop; `fresh` gives the state that the run began with."""
    while True:
        try:
            fit(run.state, batches, run.recipe.training, run)
            break
        except SetbackError as setback:
            roll_back(run, fresh, setback)
    reason = run.finished()
    if reason is None:
        raise InterruptedRun(
            run.interrupted.exit_code,
            f"stopped at step {run.state.progress.step:,}, everything is saved",
            "the same command goes on from here",
        )
    return Outcome(reason, steps.find(run.directory), run.validation and run.validation[1])
