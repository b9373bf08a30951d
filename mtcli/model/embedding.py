"""Tokens to vectors: scaled embeddings with their positions (Vaswani et al. 2017, 3.4)."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.model.dropout import Dropout
from mtcli.model.position import Position


class Embedding(nn.Module):
    """A table of token vectors times `sqrt(model_dim)`, then positions, then dropout."""

    def __init__(self, table: nn.Embedding, position: Position, dropout: float) -> None:
        super().__init__()
        self.table = table
        self.position = position
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Int[Tensor, "b t"], first: int = 0) -> Float[Tensor, "b t m"]:
        """The vectors of tokens that stand at positions `first`, `first + 1`, ..."""
        vectors = self.table(tokens) * self.table.embedding_dim**0.5
        placed: Tensor = self.dropout(self.position.embed(vectors, first))
        return placed
