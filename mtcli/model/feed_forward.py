"""The feed-forward network inside each block: widen each token's vector, bend it, narrow it again."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, silu

from mtcli.model.dropout import Dropout
from mtcli.model.linear import Linear


class FeedForward(nn.Module):
    """`W2 relu(W1 x + b1) + b2` for each token alone (Vaswani et al. 2017, eq. 2).

    `gain` multiplies the first values of its matrices.
    """

    parts: ClassVar[int] = 1
    """Vectors of width `inner_dim` that the non-linearity makes one of."""

    def __init__(self, model_dim: int, inner_dim: int, dropout: float, gain: float = 1.0) -> None:
        super().__init__()
        self.widen = Linear(model_dim, *[inner_dim] * self.parts)
        self.narrow = nn.Linear(inner_dim, model_dim)
        self.dropout = Dropout(dropout)
        for matrix in (*self.widen.weight.chunk(self.parts), self.narrow.weight):
            nn.init.xavier_uniform_(matrix, gain)
        nn.init.zeros_(self.widen.bias)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, x: Float[Tensor, "b t m"]) -> Float[Tensor, "b t m"]:
        """Mix within each token."""
        mixed: Tensor = self.narrow(self.dropout(self.bend(self.widen(x))))
        return mixed

    def bend(self, x: Float[Tensor, "*n w"]) -> Float[Tensor, "*n f"]:
        """The non-linearity."""
        return torch.relu(x)


class GeluFeedForward(FeedForward):
    """`W2 gelu(W1 x + b1) + b2`, `gelu(x) = x P(X <= x)` for a standard normal X (Hendrycks & Gimpel 2016)."""

    def bend(self, x: Float[Tensor, "*n w"]) -> Float[Tensor, "*n f"]:
        """The non-linearity."""
        return gelu(x)


class SwigluFeedForward(FeedForward):
    """`W2 (silu(W x + b) * (V x + c)) + b2`, `silu(x) = x sigmoid(x)` (Shazeer 2020, eq. 5, with its biases).

    `W` and `V` are the halves of `widen`: three matrices, where the others have two.
    """

    parts = 2

    def bend(self, x: Float[Tensor, "*n w"]) -> Float[Tensor, "*n f"]:
        """The non-linearity: one half is the gate of the other."""
        gate, value = x.chunk(2, dim=-1)
        return silu(gate) * value
