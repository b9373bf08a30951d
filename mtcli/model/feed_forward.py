"""The feed-forward network inside each block (Vaswani et al. 2017, eq. 2)."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from mtcli.model.dropout import Dropout


class FeedForward(nn.Module):
    """`W2 activation(W1 x + b1) + b2` for each token alone."""

    def __init__(
        self, model_dim: int, inner_dim: int, activation: Callable[[Tensor], Tensor], dropout: float
    ) -> None:
        super().__init__()
        self.widen = nn.Linear(model_dim, inner_dim)
        self.narrow = nn.Linear(inner_dim, model_dim)
        self.activation = activation
        self.dropout = Dropout(dropout)
        for layer in (self.widen, self.narrow):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "b t m"]) -> Float[Tensor, "b t m"]:
        """Mix within each token."""
        mixed: Tensor = self.narrow(self.dropout(self.activation(self.widen(x))))
        return mixed
