"""The training loop: the batches of a step, what an engine makes of them, and what a run does around its steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from mtcli.data.batches import Place
from mtcli.layout import Batch
from mtcli.settings import TrainingSettings
from mtcli.training.companions import Batches, Keeper
from mtcli.training.divergence import notice
from mtcli.training.engine import Eager, Engine
from mtcli.training.meter import StepMetrics
from mtcli.training.schedule import learning_rate
from mtcli.training.state import TrainState

Group = list[tuple[Batch, Place]]
"""The batches of one optimizer step, each with the place in the data after it."""


def fit(
    state: TrainState, batches: Batches, settings: TrainingSettings, run: Keeper, engine: Engine | None = None
) -> None:
    """Train until the run is finished or interrupted; each rank takes its turns of the same batches."""
    if run.finished():
        return
    ranks, engine = state.ranks, engine or Eager()
    for group in groups(batches.from_(state.progress.place, ranks.rank, ranks.world), settings.accumulate):
        run.report(train_step(state, group, settings, engine))
        if state.progress.step % settings.validate_every == 0 or run.finished():
            run.validate()
        ended = run.interrupted or run.finished()
        if state.progress.step % settings.save_every == 0 or ended:
            run.save()
        if ended:
            return


def groups(batches: Iterable[tuple[Batch, Place]], size: int) -> Iterator[Group]:
    """Consecutive batches, `size` at a time."""
    stream = iter(batches)
    while group := list(islice(stream, size)):
        yield group


def train_step(
    state: TrainState, group: Group, settings: TrainingSettings, engine: Engine | None = None
) -> StepMetrics:
    """One optimizer step on the batches that all ranks have in their groups, each token counting the same."""
    progress, ranks = state.progress, state.ranks
    batches = [batch for batch, _ in group]
    target_tokens, tokens = ranks.sum(*counted(batches))
    state.model.train()
    ranks.seed(settings.seed, progress.step)
    lr = learning_rate(progress.step + 1, settings) * 0.5**progress.rate_halvings
    loss, norm = (engine or Eager())(state, batches, settings, target_tokens, lr)
    if state.average and math.isfinite(norm):
        state.average.move()
    progress.step += 1
    progress.place = group[-1][1]
    progress.tokens += tokens
    metrics = StepMetrics(loss, target_tokens, tokens, norm, lr, state.precision.scale)
    notice(state, metrics)
    return metrics


def counted(batches: Sequence[Batch]) -> tuple[int, int]:
    """How many target tokens they have, and how many tokens of both sides."""
    target = sum(batch.target_tokens for batch in batches)
    return target, target + sum(batch.source_tokens for batch in batches)
