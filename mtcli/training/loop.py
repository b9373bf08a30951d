"""The training loop: the batches of a step, their gradients, an update, and what a run does around its steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from torch import Tensor

from mtcli.data.batches import Place
from mtcli.layout import Batch
from mtcli.settings import TrainingSettings
from mtcli.training.companions import Batches, Keeper
from mtcli.training.divergence import notice
from mtcli.training.loss import training_loss
from mtcli.training.memory import parts_of, within_memory
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
    batches = [batch for batch, _ in group]
    target_tokens, tokens = ranks.sum(*counted(batches))
    state.model.train()
    ranks.seed(settings.seed, progress.step)
    loss = within_memory(state, batches, settings.split, lambda: gradients(state, batches, settings, target_tokens))
    # Gradients that ranks divide among them are added in the backward pass.
    loss = ranks.add(() if state.holding.sharded else state.model.parameters(), loss)
    lr = learning_rate(progress.step + 1, settings) * 0.5**progress.rate_halvings
    norm = update(state, lr, settings.clip)
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


def gradients(state: TrainState, batches: Sequence[Batch], settings: TrainingSettings, tokens: int) -> Tensor:
    """Add the gradients of what is minimised, divided by `tokens`; return the cross-entropy of all batches, a sum."""
    entropies: list[Tensor] = []
    parts = [part for batch in batches for part in batch.parts(parts_of(state, settings.split))]
    for part in [*parts, *idle(state, parts)]:
        with state.precision.autocast():
            loss = training_loss(state.model, part.to(state.device), settings)
        counts = len(entropies) < len(parts)
        state.precision.backward(loss.total / tokens if counts else 0 * loss.total)
        entropies.append(loss.cross_entropy)
    return sum(entropies[1 : len(parts)], start=entropies[0])


def idle(state: TrainState, parts: Sequence[Batch]) -> list[Batch]:
    """Parts that a rank computes for nothing: where ranks divide the model, all wait for each other in each part."""
    (most,) = state.ranks.most(len(parts)) if state.holding.sharded else (len(parts),)
    return [*parts[:1]] * (most - len(parts))


def update(state: TrainState, lr: float, clip: float) -> float:
    """Let the optimizer take its step, unless a gradient is not finite; return their norm before clipping."""
    for parameters in state.optimizer.param_groups:
        parameters["lr"] = lr
    norm = state.precision.update(state.model, state.optimizer, clip)
    if state.average and math.isfinite(norm):
        state.average.move()
    return norm
