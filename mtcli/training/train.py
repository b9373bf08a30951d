"""From what the user asks for to a trained model in a directory; a stopped run goes on, a finished one says so."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from mtcli import catalog
from mtcli import recipe as recipes
from mtcli.checkpoint import durable, lock, steps, store
from mtcli.checkpoint.store import Checkpoint
from mtcli.data.batches import Batches
from mtcli.data.resegmented import batches_of
from mtcli.errors import DataError, DivergenceError, InterruptedRun, ModelError, ResourceError
from mtcli.model.build import build
from mtcli.settings import Recipe
from mtcli.training.ema import Average
from mtcli.training.loop import fit
from mtcli.training.material import Material, Vocabulary, gather
from mtcli.training.observer import Observer, Validation
from mtcli.training.origin import begin_with, parent
from mtcli.training.plan import Request, follow, settle
from mtcli.training.precision import Precision
from mtcli.training.ranks import Ranks
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
    with ExitStack() as held:
        recipe = ranks.lead(lambda: begin(request, directory, watch.observer, held))
        if not ranks.first:
            follow(recipe)
        stored = newest(directory, watch.observer, ranks)
        if stored:
            refuse_foreign(stored, recipe, directory)
        origin = None if stored else parent(recipe, watch.observer)
        material = gather(recipe, directory, stored or origin, watch.observer, ranks)
        state = built(recipe, material.tokenizer, material.fingerprint, ranks, origin)
        if stored:
            resume(state, stored, material, watch.observer)
            warn_of_other_steps(state, stored, recipe, watch.observer)
        ranks.align([*state.weights().values(), *state.model.state_dict().values()])
        ranks.lead(lambda: declare(state, recipe, directory))
        batches = batches_of(material.training, material.tokenizer, recipe)
        validator = Validator(material, recipe)
        run = Run(directory, recipe, state, validator, batches.steps_per_epoch(), watch)
        ranks.lead(run.mend_pointer)
        return ended(run, batches)


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


def newest(directory: Path, observer: Observer, ranks: Ranks) -> Checkpoint | None:
    """The newest sound checkpoint of the run; damaged ones are passed over loudly."""
    path, passed_over = ranks.lead(lambda: steps.newest(directory))
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


def built(
    recipe: Recipe, vocabulary: Vocabulary, data: str, ranks: Ranks, origin: Checkpoint | None = None
) -> TrainState:
    """A fresh state; the seed decides every parameter, unless they come from another model."""
    device = ranks.device(recipe.training.device)
    torch.manual_seed(recipe.training.seed)
    model = build(recipe.model, vocabulary.source_size, vocabulary.target_size, vocabulary.joint).to(device)
    if origin:
        begin_with(model, origin, Path(recipe.training.init_from))
    optimizer = catalog.load("optimizer", recipe.training.optimizer)(model, recipe.training)
    assert recipe.training.precision != "auto"
    precision = Precision(recipe.training.precision, device)
    average = Average(model, recipe.training.ema) if recipe.training.ema else None
    return TrainState(model, optimizer, precision, Progress(), data, ranks, average)


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


def warn_of_other_steps(state: TrainState, stored: Checkpoint, recipe: Recipe, observer: Observer) -> None:
    """Say so when other processes than before make steps of another size, and how to keep it."""
    assert stored.resume is not None
    before, now = stored.resume.values.get("ranks", 1), state.ranks.world
    size = before * stored.recipe.training.accumulate
    if before != now and size != now * recipe.training.accumulate:
        keep = f"; --accumulate {size // now} keeps it" if size % now == 0 else ""
        observer.warn(
            f"a step had {size} batches, {before} processes having {stored.recipe.training.accumulate} each, and has"
            f" {now * recipe.training.accumulate} from here on{keep}"
        )


def declare(state: TrainState, recipe: Recipe, directory: Path) -> None:
    """Write down what the run does, if there is room for what it will write."""
    refuse_full_disk(state, recipe, directory)
    durable.write_file(directory / "recipe.toml", recipes.dump(recipe).encode())


def refuse_full_disk(state: TrainState, recipe: Recipe, directory: Path) -> None:
    """Raise `ResourceError` if the checkpoints that are yet to come do not fit on the disk."""
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    # Weights, Adam's two moments and, beside an average, the weights that it is of; all in fp32.
    one = (4 if state.average else 3) * 4 * parameters
    # Those kept, the best, and one that is being written; those of an earlier start are there already.
    missing = max(1, recipe.training.keep + 2 - len(steps.steps(directory)))
    needed, free = one * missing, shutil.disk_usage(directory).free
    if free < needed:
        raise ResourceError(
            f"{directory} has {free / 1e9:.1f} GB free, and this run may need {needed / 1e9:.1f} GB for checkpoints",
            "free some space, or keep fewer with --keep",
        )


def ended(run: Run, batches: Batches) -> Outcome:
    """Run to the end, or to the wish to stop."""
    try:
        fit(run.state, batches, run.recipe.training, run)
    except DivergenceError as error:
        good, _ = steps.newest(run.directory)
        where = f"the last good checkpoint is {good}" if good else "there is no checkpoint yet"
        raise DivergenceError(error.message, *error.details, where) from error
    reason = run.finished()
    if reason is None:
        raise InterruptedRun(
            run.interrupt.exit_code,
            f"stopped at step {run.state.progress.step:,}, everything is saved",
            "the same command goes on from here",
        )
    return Outcome(reason, steps.find(run.directory), run.validation and run.validation[1])
