"""Where the time of training goes: the same batches and the same arithmetic, with a look at the clock around each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from mtcli.data.batches import Place
from mtcli.layout import Batch
from mtcli.machine import Clock
from mtcli.training.companions import Batches
from mtcli.training.precision import Precision

Phase = Literal["data", "forward", "backward", "optimizer"]
PHASES: tuple[Phase, ...] = ("data", "forward", "backward", "optimizer")


class Phases:
    """How many seconds each phase took while `looking`; else the clock is left alone.

    On a GPU, a clock that waits for it takes away what processor and GPU do at the same time.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.looking = False
        self.seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def during(self, phase: Phase) -> Iterator[None]:
        """Add the time that passes inside."""
        if not self.looking:
            yield
            return
        started = self.clock()
        yield
        self.seconds[phase] += self.clock() - started


class TimedBatches:
    """Batches that come as they would, with the time they take."""

    def __init__(self, batches: Batches, phases: Phases) -> None:
        self.batches = batches
        self.phases = phases

    def from_(self, place: Place, rank: int = 0, world: int = 1) -> Iterator[tuple[Batch, Place]]:
        """As the batches."""
        stream = self.batches.from_(place, rank, world)
        while True:
            with self.phases.during("data"):
                batch, behind = next(stream)
            yield batch, behind


class TimedPrecision(Precision):
    """Computes like another one, which it replaces; what is done in `autocast` is the forward pass."""

    def __init__(self, replaced: Precision, phases: Phases) -> None:
        super().__init__(replaced.name, replaced.device)
        self.phases = phases

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """As the other."""
        with self.phases.during("forward"), super().autocast():
            yield

    def backward(self, loss: Tensor) -> None:
        """As the other."""
        with self.phases.during("backward"):
            super().backward(loss)

    def update(self, model: nn.Module, optimizer: Optimizer, clip: float) -> float:
        """As the other."""
        with self.phases.during("optimizer"):
            return super().update(model, optimizer, clip)
