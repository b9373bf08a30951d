"""Who carries out the arithmetic of a step; the plainest of them takes one operation after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from mtcli import catalog
from mtcli.layout import Batch
from mtcli.settings import TrainingSettings
from mtcli.training.loss import training_loss
from mtcli.training.memory import parts_of, within_memory
from mtcli.training.state import TrainState


class Engine(Protocol):
    """Computes the gradients of a step, and updates the weights."""

    def __call__(
        self, state: TrainState, batches: Sequence[Batch], settings: TrainingSettings, tokens: int, lr: float
    ) -> tuple[Tensor, float]:
        """The summed cross-entropy of `tokens` target tokens, and the norm of their mean gradient before clipping.

        The weights stay as they are if that is not finite.
        """


def engine_of(state: TrainState, name: str) -> Engine:
    """The engine that the settings name, for this state."""
    engine: Engine = catalog.load("engine", name)(state)
    return engine


def eager(state: TrainState) -> Eager:
    """The engine for any state."""
    return Eager()


class Eager:
    """As it is written; memory that runs out is asked for in smaller parts."""

    def __call__(
        self, state: TrainState, batches: Sequence[Batch], settings: TrainingSettings, tokens: int, lr: float
    ) -> tuple[Tensor, float]:
        """Gradients of all ranks, then an update."""
        loss = within_memory(state, batches, settings.split, lambda: gradients(state, batches, settings, tokens))
        # Gradients that ranks divide among them are added in the backward pass.
        loss = state.ranks.add(() if state.holding.sharded else state.model.parameters(), loss)
        for parameters in state.optimizer.param_groups:
            parameters["lr"] = lr
        return loss, state.precision.update(state.model, state.optimizer, settings.clip)


def gradients(
    state: TrainState, batches: Sequence[Batch], settings: TrainingSettings, tokens: int | Tensor
) -> Tensor:
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
