"""Multi-head attention (Vaswani et al. 2017, 3.2.2): project, rotate, mix by a mechanism, merge.

One class serves self-attention, causal self-attention and cross-attention, because who asks whom is an argument.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from mtcli.layout import Attend, Rows
from mtcli.model.attention.mechanism import Cache, Mechanism
from mtcli.model.position import Position


class MultiHeadAttention(nn.Module):
    """Projections around a mechanism; `model_dim` is divided evenly among the heads.

    `position` is the encoding of the tokens' order, and the empty one where two sequences meet.
    """

    def __init__(self, model_dim: int, heads: int, mechanism: Mechanism, position: Position) -> None:
        super().__init__()
        self.model_dim = model_dim
        self.heads = heads
        self.mechanism = mechanism
        self.position = position
        # One matrix: a self-attention's three projections are then one product.
        self.project = nn.Linear(model_dim, 3 * model_dim)
        self.merge = nn.Linear(model_dim, model_dim)
        for part in self.project.weight.chunk(3):
            nn.init.xavier_uniform_(part)
        nn.init.xavier_uniform_(self.merge.weight)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.merge.bias)

    def forward(self, x: Float[Tensor, "b t m"], attend: Attend) -> Float[Tensor, "b t m"]:
        """Let the tokens of `x` attend to each other."""
        query, key, value = self.split(self.project(x), 3)
        query, key = self.position.rotate(query, 0), self.position.rotate(key, 0)
        return self.join(self.mechanism(query, key, value, attend, self.position))

    def cross(
        self, x: Float[Tensor, "b t m"], memory: Float[Tensor, "b s m"], attend: Attend
    ) -> Float[Tensor, "b t m"]:
        """Let the tokens of `x` attend to the memory."""
        seen = self.remember(memory)
        return self.join(self.mechanism(self.ask(x), seen.key, seen.value, attend, self.position))

    def step(self, x: Float[Tensor, "n 1 m"], past: Cache | None, first: int) -> tuple[Float[Tensor, "n 1 m"], Cache]:
        """Let one token per row, at position `first`, attend to itself and to the past."""
        query, key, value = self.split(self.project(x), 3)
        query, key = self.position.rotate(query, first), self.position.rotate(key, first)
        past = past.append(key, value) if past else Cache(key, value)
        return self.join(self.mechanism.step(query, past, self.position)), past

    def look(self, x: Float[Tensor, "b q m"], memory: Cache, rows: Rows) -> Float[Tensor, "b q m"]:
        """Let the hypotheses of each sentence attend to the memory that they share."""
        return self.join(self.mechanism.look(self.ask(x), memory, rows))

    def remember(self, memory: Float[Tensor, "b s m"]) -> Cache:
        """The keys and values of a memory."""
        weight, bias = self.project.weight[self.model_dim :], self.project.bias[self.model_dim :]
        return Cache(*self.split(linear(memory, weight, bias), 2))

    def ask(self, x: Float[Tensor, "b t m"]) -> Float[Tensor, "b h t d"]:
        """The queries to a memory."""
        weight, bias = self.project.weight[: self.model_dim], self.project.bias[: self.model_dim]
        return self.split(linear(x, weight, bias), 1)[0]

    def split(self, x: Tensor, parts: int) -> tuple[Float[Tensor, "b h t d"], ...]:
        """Cut a projection into its parts and each part into heads."""
        cut = x.view(*x.shape[:2], parts, self.heads, -1)  # b t parts h d
        return tuple(part.transpose(1, 2) for part in cut.unbind(2))

    def join(self, x: Float[Tensor, "b h t d"]) -> Float[Tensor, "b t m"]:
        """Put the heads next to each other and mix them."""
        merged: Tensor = self.merge(x.transpose(1, 2).flatten(2))
        return merged
