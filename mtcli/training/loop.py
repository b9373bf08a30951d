"""The training loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from torch import Tensor

from mtcli.data.batches import Batches, Place
from mtcli.layout import Batch
from mtcli.settings import TrainingSettings
from mtcli.training.divergence import notice
from mtcli.training.loss import batch_loss
from mtcli.training.memory import attempted, parts_of, split_further
from mtcli.training.meter import StepMetrics
from mtcli.training.run import Run
from mtcli.training.schedule import learning_rate
from mtcli.training.state import TrainState

Group = list[tuple[Batch, Place]]
"""The batches of one optimizer step, each with the place in the data after it."""


def fit(state: TrainState, batches: Batches, settings: TrainingSettings, run: Run) -> None:
    """Train until the run is finished or interrupted."""
    if run.finished():
        return
    for group in groups(batches.from_(state.progress.place), settings.accumulate):
        run.report(train_step(state, group, settings))
        if state.progress.step % settings.validate_every == 0 or run.finished():
            run.validate()
        if state.progress.step % settings.save_every == 0 or run.interrupted or run.finished():
            run.save()
        if run.interrupted or run.finished():
            return


def groups(batches: Iterable[tuple[Batch, Place]], size: int) -> Iterator[Group]:
    """Consecutive batches, `size` at a time."""
    stream = iter(batches)
    while group := list(islice(stream, size)):
        yield group


def train_step(state: TrainState, group: Group, settings: TrainingSettings) -> StepMetrics:
    """One optimizer step on the batches of `group`, each token of theirs counting the same."""
    progress = state.progress
    state.model.train()
    lr = learning_rate(progress.step + 1, settings) * 0.5**progress.rate_halvings
    for parameters in state.optimizer.param_groups:
        parameters["lr"] = lr
    target_tokens = sum(batch.target_tokens for batch, _ in group)
    tokens = target_tokens + sum(batch.source_tokens for batch, _ in group)
    batches = [batch for batch, _ in group]
    while (total := attempted(lambda: gradients(state, batches, settings, target_tokens))) is None:
        split_further(state, batches, settings.split)
    norm = state.precision.update(state.model, state.optimizer, settings.clip)
    progress.step += 1
    progress.place = group[-1][1]
    progress.tokens += tokens
    metrics = StepMetrics(total, target_tokens, tokens, norm, lr)
    notice(state, metrics)
    return metrics


def gradients(state: TrainState, batches: Sequence[Batch], settings: TrainingSettings, tokens: int) -> Tensor:
    """Add the gradients of the loss of all batches, divided by `tokens`; return the loss, as a sum."""
    total: Tensor | None = None
    for batch in batches:
        for part in batch.parts(parts_of(state, settings.split)):
            with state.precision.autocast():
                loss = batch_loss(state.model, part.to(state.device), settings.label_smoothing)
            state.precision.backward(loss.total / tokens)
            total = loss.total.detach() + (0 if total is None else total)
    assert total is not None
    return total
