"""What follows divergence: back to the last good checkpoint, or to the start, and on with half the learning rate.

The batches and the noise are those of the first time, but from the first step on the weights are others.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mtcli.checkpoint import steps, store
from mtcli.errors import DivergenceError
from mtcli.training.divergence import SetbackError
from mtcli.training.run import Run
from mtcli.training.state import TrainState

HALVINGS = 2
"""So often the rate is halved; a run that still diverges has another fault."""


def roll_back(run: Run, fresh: Callable[[], TrainState], setback: SetbackError) -> None:
    """Let the run go on from its last good checkpoint, or as the `fresh` one, with half the rate.

    All ranks come here after the same step. Checkpoints that cannot be trusted are removed: a killed run would go on
    from the newest, and a step is written once. If the rate has been halved twice already, that is all, and
    `DivergenceError` is raised.

    The halving is stored with the next checkpoint. A run that is killed before goes on from the same one as this,
    diverges as this did, and comes here again.
    """
    state, at = run.state, run.state.progress
    good = state.ranks.lead(lambda: last_good(run.directory, setback.sound))
    if at.rate_halvings == HALVINGS:
        raise DivergenceError(
            setback.message,
            *setback.details,
            f"the learning rate was halved {HALVINGS} times already",
            f"the last good checkpoint is {good}" if good else "there is no good checkpoint yet",
        ) from setback
    restore(state, good, fresh)
    state.progress.rate_halvings = at.rate_halvings + 1
    state.progress.split_doublings = at.split_doublings  # there is no more memory than there was
    state.progress.seconds = at.seconds  # they were spent, and --max-minutes counts them
    run.take_up()
    if state.ranks.first:
        tell(run, at.step, setback.message)


def last_good(directory: Path, sound: int) -> Path | None:
    """The newest sound checkpoint up to that step; later ones are removed."""
    steps.remove_after(directory, sound)
    path, _ = steps.newest(directory)
    return path


def restore(state: TrainState, good: Path | None, fresh: Callable[[], TrainState]) -> None:
    """Give the state what a checkpoint holds, or, if there is none, what the run began with; averages too."""
    stored = store.load(good, resume=True) if good else None
    if stored and stored.resume:
        state.restore(stored.weights, stored.resume)
    else:
        start = fresh()
        state.restore(start.weights(), start.resume())
    state.align()


def tell(run: Run, step: int, reason: str) -> None:
    """Say in a sentence, and in the log, what has happened at `step`."""
    progress, lr = run.state.progress, run.recipe.training.lr
    rate = lr * 0.5**progress.rate_halvings
    back = f"back to step {progress.step:,}" if progress.step else "back to the start"
    run.observer.warn(f"{reason}: {back}, and on with half the learning rate, {rate:.1e} at its highest")
    event = {"event": "rollback", "step": step, "back_to": progress.step, "lr": rate, "reason": reason}
    run.log.write(event)
