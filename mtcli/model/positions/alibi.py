"""Attention with linear biases (Press et al. 2022, 3): logits fall with the distance, faster in some heads."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtcli.model.position import Position, of_heads


class Alibi(Position):
    """`-slope * |offset|`: the paper's where tokens see their past only, the same both ways where they see all."""

    reads = ("heads",)
    changes_logits = True
    slopes: Tensor

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.register_buffer("slopes", torch.tensor(slopes(heads)), persistent=False)

    def bias(
        self, query: Float[Tensor, "b h *n q d"], offsets: Int[Tensor, "*#n q k"]
    ) -> Float[Tensor, "1 h *#n q k"]:
        """The distance times the slope of each head."""
        return of_heads(-self.slopes.view(-1, *[1] * offsets.dim()) * offsets.abs(), query)


def slopes(heads: int) -> list[float]:
    """The geometric sequence that starts at `2^(-8/heads)`, which is its ratio too.

    For a number that is no power of two: those of the power below, then every second one of the power above
    (the paper's released code).
    """
    power = 1 << heads.bit_length() - 1
    between = [2 ** (-4 * i / power) for i in range(1, 2 * (heads - power), 2)]
    return [2 ** (-8 * i / power) for i in range(1, power + 1)] + between
