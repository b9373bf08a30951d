"""How a run goes on that was stopped: from the newest sound checkpoint, if recipe and corpora are still its own."""

from __future__ import annotations

from pathlib import Path

from mtcli import recipe as recipes
from mtcli.checkpoint import steps, store
from mtcli.checkpoint.store import Checkpoint
from mtcli.errors import DataError, ModelError
from mtcli.settings import Recipe
from mtcli.training.divergence import forget
from mtcli.training.material import Material
from mtcli.training.observer import Observer
from mtcli.training.ranks import Ranks
from mtcli.training.state import TrainState


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


def resume(state: TrainState, stored: Checkpoint, recipe: Recipe, material: Material, observer: Observer) -> None:
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
    state.progress = forget(state.progress, stored.recipe, recipe)
    warn_of_other_steps(state, stored, recipe, observer)
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
