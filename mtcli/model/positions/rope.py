"""Rotary position embedding (Su et al. 2021, 3.2.2): queries and keys turn by angles that grow with the position."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from mtcli.kernels.rotation import turned
from mtcli.layout import Places
from mtcli.model.position import Position, angles, end, looked_up
from mtcli.settings import ModelSettings


class Rope(Position):
    """Turns each two neighbouring numbers of a head by `t / rope_base^(2i/head_dim)` at position `t`.

    The product of a query and a key then depends on their offset only (eq. 16).
    """

    reads = ("head_dim", "rope_base")
    rotates = True
    table: Tensor

    def __init__(self, head_dim: int, rope_base: float) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.rope_base = rope_base
        self.register_buffer("table", turns(512, head_dim, rope_base), persistent=False)

    @classmethod
    def reasons(cls, settings: ModelSettings) -> Iterator[str]:
        """An odd number has no partner to turn with."""
        if settings.head_dim % 2:
            yield f"rope turns pairs of numbers, but a head has {settings.head_dim}; change --model-dim or --heads"

    def turn(self, where: int | Places, count: int) -> Float[Tensor, "t i 2"]:
        """Cosine and sine by which they turn; the table grows when a sentence is longer than any before."""
        last = end(where, count)
        if last > len(self.table):
            # A table that grew in inference mode could not be part of a later gradient.
            with torch.inference_mode(False):
                self.table = turns(2 * last, self.head_dim, self.rope_base).to(self.table.device)
        return looked_up(self.table, where, count)

    def rotate(self, x: Float[Tensor, "b h t d"], where: int | Places) -> Float[Tensor, "b h t d"]:
        """Turn queries or keys."""
        return turned(x, self.turn(where, x.shape[2]))


def turns(length: int, dim: int, base: float) -> Float[Tensor, "t i 2"]:
    """Cosine and sine of each position's angle in each wave."""
    angle = angles(length, dim, base)
    return torch.stack((angle.cos(), angle.sin()), dim=-1).float()
