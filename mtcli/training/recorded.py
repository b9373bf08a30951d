"""A whole step as one recording: forward, backward, clipping and update, launched at once.

A small model's step is a thousand short kernels, each of which takes longer to launch than to run. A CUDA graph
launches them together; for that, nothing in a step may depend on a value that only the device knows, and all batches
have one shape: packed ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from mtcli.errors import UsageError
from mtcli.kernels.graph import Function, Record, recorder
from mtcli.layout import Batch, Rows
from mtcli.packing import Packed
from mtcli.settings import TrainingSettings
from mtcli.training.engine import Eager, gradients
from mtcli.training.memory import attempted, parts_of
from mtcli.training.state import TrainState


def recorded(state: TrainState) -> Recorded:
    """The engine for the device of a state; `UsageError` if other processes take part in its steps."""
    if state.ranks.world > 1:
        raise UsageError("--engine graph is for one process", "give --engine eager")
    return Recorded(recorder(state.device))


class Recorded:
    """Records the first step, and replays it for all that follow; when memory runs out, goes on without."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.tape: Tape | None = None

    def __call__(
        self, state: TrainState, batches: Sequence[Batch], settings: TrainingSettings, tokens: int, lr: float
    ) -> tuple[Tensor, float]:
        """As the eager engine."""
        if parts_of(state, settings.split) == 1:
            tape = self.tape_for(state, batches, settings)
            found = attempted(lambda: tape.play(batches, tokens, lr))
            if found is not None:
                loss, norm = found.clone().unbind()
                return loss, norm.item()
            state.optimizer.zero_grad(set_to_none=True)
            state.progress.split_doublings += 1
        self.forget(state)
        return Eager()(state, batches, settings, tokens, lr)

    def tape_for(self, state: TrainState, batches: Sequence[Batch], settings: TrainingSettings) -> Tape:
        """The tape there is, unless it speaks of tensors that are no longer the state's."""
        if self.tape is None or not self.tape.fits(batches):
            self.tape = Tape(state, batches, settings, self.record)
        return self.tape

    def forget(self, state: TrainState) -> None:
        """Free what was recorded, and let the optimizer be as it was."""
        if self.tape:
            self.tape = None
            del state.optimizer.found_inf  # type: ignore[attr-defined]


class Tape:
    """The tensors that a recorded step reads and writes, and the step."""

    def __init__(
        self, state: TrainState, batches: Sequence[Batch], settings: TrainingSettings, record: Record
    ) -> None:
        self.state = state
        self.settings = settings
        self.record = record
        self.replay: Function | None = None
        self.batches = [room_for(batch, state.device) for batch in batches]
        self.tokens, self.lr, self.unsound = (torch.zeros((), device=state.device) for _ in range(3))
        self.moments = moments(state)
        for group in state.optimizer.param_groups:
            group["lr"], group["capturable"] = self.lr, True
        # What gradient scalers use: the device itself leaves out an update if this is not 0.
        state.optimizer.found_inf = self.unsound  # type: ignore[attr-defined]

    def fits(self, batches: Sequence[Batch]) -> bool:
        """Whether batches have its shape, and no checkpoint has replaced the moments that it knows."""
        mine, theirs = ([x.shape for batch in each for x in tensors(batch)] for each in (self.batches, batches))
        return mine == theirs and self.moments is moments(self.state)

    def play(self, batches: Sequence[Batch], tokens: int, lr: float) -> Float[Tensor, " 2"]:
        """Cross-entropy and norm of a step with these batches; the first time, record it."""
        for own, given in zip(self.batches, batches, strict=True):
            for kept, new in zip(tensors(own), tensors(given), strict=True):
                kept.copy_(new, non_blocking=True)
        self.tokens.fill_(tokens)
        self.lr.fill_(lr)
        if self.replay:
            return self.replay()
        found, self.replay = self.record(self.step)
        self.moments = moments(self.state)
        return found

    def step(self) -> Float[Tensor, " 2"]:
        """What is recorded; nothing here asks the device for a value."""
        state = self.state
        with torch.enable_grad():
            loss = gradients(state, [anew(batch) for batch in self.batches], self.settings, self.tokens)
        norm = state.precision.clipped(state.model, state.optimizer, self.settings.clip)
        self.unsound.copy_(~norm.isfinite())
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        return torch.stack([loss, norm])


def moments(state: TrainState) -> object | None:
    """One of the optimizer's moments, which stands for all."""
    first = next(iter(state.optimizer.state.values()), None)
    return first["exp_avg"] if first else None


def tensors(batch: Batch) -> list[Tensor]:
    """All that differs from batch to batch."""
    return [batch.source, batch.target_in, batch.target_out, *parts(batch.source_rows), *parts(batch.target_rows)]


def parts(rows: Rows) -> tuple[Tensor, Tensor]:
    """What a packed row is made of."""
    assert isinstance(rows, Packed)
    return rows.lengths, rows.starts


def room_for(batch: Batch, device: torch.device) -> Batch:
    """A batch of this shape, to be filled."""
    source, target_in, target_out, *laid = (torch.empty_like(x, device=device) for x in tensors(batch))
    source_rows, target_rows = batch.source_rows, batch.target_rows
    assert isinstance(source_rows, Packed)
    assert isinstance(target_rows, Packed)
    source_rows = replace(source_rows, lengths=laid[0], starts=laid[1])
    target_rows = replace(target_rows, lengths=laid[2], starts=laid[3])
    return Batch(source, source_rows, target_in, target_out, target_rows)


def anew(batch: Batch) -> Batch:
    """The same tensors without what their layouts have worked out and remember, which was true of other batches."""
    return replace(batch, source_rows=replace(batch.source_rows), target_rows=replace(batch.target_rows))
