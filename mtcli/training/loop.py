"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice

from torch import Tensor

from mtcli.data.batches import Place
from mtcli.errors import DivergenceError
from mtcli.layout import Batch
from mtcli.settings import TrainingSettings
from mtcli.training.companions import Batches, Keeper
from mtcli.training.loss import training_loss
from mtcli.training.meter import StepMetrics
from mtcli.training.schedule import learning_rate
from mtcli.training.state import TrainState

Group = list[tuple[Batch, Place]]
"""The batches of one optimizer step, each with the place in the data after it."""


def fit(state: TrainState, batches: Batches, settings: TrainingSettings, run: Keeper) -> None:
    """Train until the run is finished or interrupted; each rank takes its turns of the same batches."""
    if run.finished():
        return
    ranks = state.ranks
    for group in groups(batches.from_(state.progress.place, ranks.rank, ranks.world), settings.accumulate):
        run.report(train_step(state, group, settings))
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


def train_step(state: TrainState, group: Group, settings: TrainingSettings) -> StepMetrics:
    """One optimizer step on the batches that all ranks have in their groups, each token counting the same."""
    progress, ranks = state.progress, state.ranks
    state.model.train()
    ranks.seed(settings.seed, progress.step)
    lr = learning_rate(progress.step + 1, settings)
    for parameters in state.optimizer.param_groups:
        parameters["lr"] = lr
    target_tokens = sum(batch.target_tokens for batch, _ in group)
    tokens = target_tokens + sum(batch.source_tokens for batch, _ in group)
    target_tokens, tokens = ranks.sum(target_tokens, tokens)
    total: Tensor | None = None
    for batch, _ in group:
        with state.precision.autocast():
            loss = training_loss(state.model, batch.to(state.device), settings)
        state.precision.backward(loss.total / target_tokens)
        total = loss.total.detach() + (0 if total is None else total)
    assert total is not None
    total = ranks.add(state.model.parameters(), total)
    norm = state.precision.update(state.model, state.optimizer, settings.clip)
    if state.average and math.isfinite(norm):
        state.average.move()
    progress.step += 1
    progress.place = group[-1][1]
    progress.tokens += tokens
    count_skipped(state, norm)
    return StepMetrics(total, target_tokens, tokens, norm, lr)


def count_skipped(state: TrainState, norm: float) -> None:
    """Count an update whose gradient was not finite; `DivergenceError` when they are ten in a row or over 1 %."""
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
        raise DivergenceError(
            f"training diverged: {progress.skipped} of {progress.step} updates had gradients that are not finite",
            "try a smaller --lr, more --warmup-steps, or --precision fp32",
        )
