"""One training by several processes: what they add up, what they agree on, and who does what only one may do.

Each process, a *rank*, computes other batches of the same optimizer step with the same weights. The gradient of the
step is a sum over the target tokens of all ranks, divided by how many these are. The usual mean of the ranks' means
is another one: there, a token beside few others weighs more than a token beside many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mtcli.device import choose_device
from mtcli.errors import UserError
from mtcli.model.seq2seq import Seq2Seq
from mtcli.training.holding import Holding

Result = TypeVar("Result")
Number = TypeVar("Number", int, float)


class Ranks:
    """One process, which is the only rank: all sums are its own. `Together` does the same among several."""

    rank, world = 0, 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and talks to people."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device that this rank computes on where the recipe says `name`."""
        return choose_device(name)

    def hold(self, models: Sequence[Seq2Seq[Any]], device: torch.device, shard: bool) -> Holding:
        """Put models of one kind where they compute; several ranks divide them among them if they are to `shard`."""
        for model in models:
            model.to(device)
        return Holding()

    def lead(self, work: Callable[[], Result]) -> Result:
        """Let the first rank alone do `work`; when it is done, all have its result."""
        return work()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first rank enters first, and the others when it is through: they find what it has prepared."""
        yield

    def sum(self, *numbers: Number) -> Sequence[Number]:
        """Each number, summed over the ranks."""
        return numbers

    def most(self, *numbers: Number) -> Sequence[Number]:
        """Each number's largest value at any rank."""
        return numbers

    def interleaved(self, mine: list[Result]) -> list[Result]:
        """One list of what was dealt out: rank r was given the items r, r + world, r + 2 world, ..."""
        return mine

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Give all ranks the values of the first one's tensors."""

    def seed(self, seed: int, step: int) -> None:
        """Let each rank draw random numbers of its own in this step, the same when the step is repeated."""

    def add(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Let every gradient be its sum over the ranks, bit by bit the same at each; return their summed loss."""
        return loss

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Inside, an exchange that fails because another rank is gone becomes a `ResourceError`."""
        yield

    def tells(self, error: UserError) -> bool:
        """Whether this rank is the one to report an error: of all that follow from each other, the first."""
        return True
