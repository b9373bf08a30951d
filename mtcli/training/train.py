"""From what the user asks for to a trained model in a directory; a stopped run goes on, a finished one says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mtcli import catalog
from mtcli import recipe as recipes
from mtcli.checkpoint import durable, lock, steps
from mtcli.checkpoint.store import Checkpoint
from mtcli.data.ahead import Ahead
from mtcli.data.batches import Batches
from mtcli.errors import InterruptedRun, ResourceError
from mtcli.model.build import build
from mtcli.model.low_rank import adapt, updated
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import Recipe
from mtcli.training.divergence import SetbackError
from mtcli.training.ema import Average
from mtcli.training.engine import engine_of
from mtcli.training.fitting import fitted
from mtcli.training.guidance import batches_for
from mtcli.training.loop import fit
from mtcli.training.material import Vocabulary, gather
from mtcli.training.observer import Observer, Validation
from mtcli.training.origin import begin_with, parent
from mtcli.training.plan import Request, follow, settle
from mtcli.training.precision import Precision
from mtcli.training.ranks import Ranks
from mtcli.training.resumption import newest, refuse_foreign, resume
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


def train(request: Request, directory: Path, watch: Watch, ranks: Ranks | None = None) -> Outcome:
    """Train into `directory`, or go on where a run in it stopped; each of several processes calls this.

    Raises `UserError`s; among them `InterruptedRun`, after saving, when a signal asked to stop.
    """
    ranks = ranks or Ranks()
    with ExitStack() as held, ranks.hearing():
        recipe = ranks.lead(lambda: begin(request, directory, watch.observer, held))
        if not ranks.first:
            follow(recipe)
        stored = newest(directory, watch.observer, ranks)
        if stored:
            refuse_foreign(stored, recipe, directory)
        origin = None if stored else parent(recipe, watch.observer)
        material = gather(recipe, directory, stored or origin, watch.observer, ranks)
        fresh = partial(built, vocabulary=material.tokenizer, data=material.fingerprint, ranks=ranks)
        if not recipe.training.split:
            recipe = fitted(recipe, fresh, material.training, watch.observer)
        state = fresh(recipe, origin=origin)
        if recipe.training.lora_rank:
            watch.observer.say(learning_of(state.model))
        if stored:
            resume(state, stored, recipe, material, watch.observer)
        state.align()
        ranks.lead(lambda: declare(state, recipe, directory))
        batches = batches_for(material.training, material.tokenizer, recipe)
        validator = Validator(material, recipe)
        run = Run(directory, recipe, state, validator, batches.steps_per_epoch(), watch)
        return ended(run, batches, lambda: fresh(recipe, origin=parent(recipe, watch.observer)))


def begin(request: Request, directory: Path, observer: Observer, held: ExitStack) -> Recipe:
    """Take possession of the directory until `held` is closed, and settle what the run is going to do."""
    make_writable(directory)
    held.enter_context(lock.hold(directory))
    return settle(request, directory, observer)


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


def built(
    recipe: Recipe, vocabulary: Vocabulary, data: str, ranks: Ranks, origin: Checkpoint | None = None
) -> TrainState:
    """A fresh state; the seed decides every parameter, unless they come from another model."""
    device = ranks.device(recipe.training.device)
    torch.manual_seed(recipe.training.seed)
    model = build(recipe.model, vocabulary.source_size, vocabulary.target_size, vocabulary.joint)
    if origin:
        begin_with(model, origin, Path(recipe.training.init_from))
    if recipe.training.lora_rank:
        adapt(model, recipe.training.lora_rank, recipe.training.lora_alpha)
    average = Average(model, recipe.training.ema) if recipe.training.ema else None
    models = [model, average.model] if average else [model]
    holding = ranks.hold(models, device, recipe.training.shard)
    optimizer = catalog.load("optimizer", recipe.training.optimizer)(model, recipe.training)
    holding.follow(optimizer)
    assert recipe.training.precision != "auto"
    precision = Precision(recipe.training.precision, device)
    return TrainState(model, optimizer, precision, Progress(), data, ranks, average, holding)


def learning_of(model: Seq2Seq[Any]) -> str:
    """How much of a model learns."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return f"of {sum(size for size, _ in sizes):,} parameters {sum(size for size, learns in sizes if learns):,} learn"


def declare(state: TrainState, recipe: Recipe, directory: Path) -> None:
    """Write down what the run does, if there is room for what it will write."""
    refuse_full_disk(state, recipe, directory)
    durable.write_file(directory / "recipe.toml", recipes.dump(recipe).encode())


def refuse_full_disk(state: TrainState, recipe: Recipe, directory: Path) -> None:
    """Raise `ResourceError` if the checkpoints that are yet to come do not fit on the disk."""
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    learning = sum(parameter.numel() for parameter in state.model.parameters() if parameter.requires_grad)
    updating = sum(matrix.weight.numel() for _, matrix in updated(state.model))
    # Weights, the matrices under updates of low rank by themselves, and of what learns Adam's two moments and, beside
    # an average, the weights that it is of; all in fp32.
    one = 4 * (parameters + updating + (3 if state.average else 2) * learning)
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
    state, settings = run.state, run.recipe.training
    engine, stream = engine_of(state, settings.engine), batches if state.device.type == "cpu" else Ahead(batches)
    while True:
        try:
            fit(state, stream, settings, run, engine)
            break
        except SetbackError as setback:
            roll_back(run, fresh, setback)
    reason = run.finished()
    if reason is None:
        raise InterruptedRun(
            run.interrupt.exit_code,
            f"stopped at step {run.state.progress.step:,}, everything is saved",
            "the same command goes on from here",
        )
    return Outcome(reason, steps.find(run.directory), run.validation and run.validation[1])
