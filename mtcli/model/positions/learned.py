"""A vector learned for each position (Gehring et al. 2017, 3.1; Vaswani et al. 2017, 3.5)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mtcli.errors import DataError
from mtcli.layout import Places
from mtcli.model.position import Position, end, looked_up


class Learned(Position):
    """A table of `max_positions` vectors, added to the embeddings; a longer sentence is refused by `DataError`."""

    reads = ("model_dim", "max_positions")
    bounded = True

    def __init__(self, model_dim: int, max_positions: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(max_positions, model_dim))
        # Beside scaled token vectors of unit variance, as strong as sinusoids, whose mean square is 1/2.
        nn.init.normal_(self.table, std=0.5**0.5)

    def embed(self, x: Float[Tensor, "b t m"], where: int | Places) -> Float[Tensor, "b t m"]:
        """Add the vectors of the positions."""
        last = end(where, x.shape[1])
        if last > len(self.table):
            raise DataError(
                f"a sentence has {last} tokens, more than the {len(self.table)} positions that the model learned",
                f"shorten or split the sentence, or train a model with --max-positions {last} or with positions"
                " that have no end, such as sinusoidal",
            )
        return x + looked_up(self.table, where, x.shape[1]).to(x.dtype)
