"""Tokens to vectors: scaled embeddings with their positions (Vaswani et al. 2017, 3.4)."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.layout import Places
from mtcli.model.dropout import Dropout, WordDropout
from mtcli.model.position import Position
from mtcli.settings import ModelSettings


class Embedding(nn.Module):
    """A table of token vectors times `sqrt(model_dim)`, some left out, then positions, then dropout."""

    def __init__(self, table: nn.Embedding, position: Position, dropout: float, word_dropout: float) -> None:
        super().__init__()
        self.table = table
        self.position = position
        self.dropout = Dropout(dropout)
        self.word_dropout = WordDropout(word_dropout)

    def forward(self, tokens: Int[Tensor, "b t"], where: int | Places = 0) -> Float[Tensor, "b t m"]:
        """The vectors of tokens that stand at positions `where`, `where + 1`, ..., or at the places in it."""
        vectors = self.word_dropout(self.table(tokens) * self.table.embedding_dim**0.5, tokens)
        placed: Tensor = self.dropout(self.position.embed(vectors, where))
        return placed


def tables(
    settings: ModelSettings, source_size: int, target_size: int
) -> tuple[nn.Embedding, nn.Embedding, nn.Linear]:
    """Source embeddings, target embeddings and readout, as one, two or three matrices."""
    dim, tied = settings.model_dim, settings.tied_embeddings
    target = table(target_size, dim)
    source = target if tied == "three-way" else table(source_size, dim)
    output = nn.Linear(dim, target_size, bias=False)
    output.weight = target.weight if tied != "none" else table(target_size, dim).weight
    return source, target, output


def table(size: int, dim: int) -> nn.Embedding:
    """Vectors of unit variance after the scaling by `sqrt(dim)`; as a readout, they give logits of unit variance."""
    vectors = nn.Embedding(size, dim)
    nn.init.normal_(vectors.weight, std=dim**-0.5)
    return vectors
