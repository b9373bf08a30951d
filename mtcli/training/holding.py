"""How the processes of a training hold its model: here, each the whole of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from mtcli.model.seq2seq import Seq2Seq


class Holding:
    """Every rank has all weights, gradients and moments. `sharding.Sharded` divides them among the ranks."""

    sharded = False

    def follow(self, optimizer: Optimizer) -> None:
        """Let the optimizer of a model that is held take moments as a checkpoint stores them."""

    @contextmanager
    def whole(self, model: Seq2Seq[Any]) -> Iterator[Seq2Seq[Any]]:
        """The same model for decoding, with all weights on this rank's device while it is in use."""
        yield model

    def gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors as a checkpoint stores them; equal objects stay one."""
        return dict(tensors)
