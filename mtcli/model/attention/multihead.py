"""Multi-head attention (Vaswani et al. 2017, 3.2.2): project, rotate, mix by a mechanism, merge.

One class serves self-attention, causal self-attention and cross-attention, because who asks whom is an argument.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mtcli.layout import Attend, Places, Rows
from mtcli.model.attention.mechanism import Mechanism, Past
from mtcli.model.linear import Linear
from mtcli.model.position import Position


class MultiHeadAttention(nn.Module):
    """Projections around a mechanism; `model_dim` is divided evenly among the `heads` of queries.

    With fewer `key_value_heads`, several heads of queries share one of keys and values (Ainslie et al. 2023; with
    one, Shazeer 2019). With `normalize`, queries and keys are normalised within each head, which bounds the logits
    (Henry et al. 2020, with the learned norms of Dehghani et al. 2023), by norms that it makes.
    `position` is the encoding of the tokens' order, and the empty one where two sequences meet; `gain` multiplies
    the first values of the projections.
    """

    def __init__(
        self,
        model_dim: int,
        heads: int,
        mechanism: Mechanism,
        position: Position,
        key_value_heads: int = 0,
        normalize: Callable[[int], nn.Module] | None = None,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.head_dim = model_dim // heads
        self.sizes = [model_dim, *[(key_value_heads or heads) * self.head_dim] * 2]
        self.mechanism = mechanism
        self.position = position
        # One matrix: a self-attention's three projections are then one product.
        self.project = Linear(model_dim, *self.sizes)
        self.merge = nn.Linear(model_dim, model_dim)
        for part in torch.split(self.project.weight, self.sizes):
            nn.init.xavier_uniform_(part, gain)
        nn.init.xavier_uniform_(self.merge.weight, gain)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.merge.bias)
        self.query_norm = normalize(self.head_dim) if normalize else nn.Identity()
        self.key_norm = normalize(self.head_dim) if normalize else nn.Identity()

    def forward(self, x: Float[Tensor, "b t m"], attend: Attend) -> Float[Tensor, "b t m"]:
        """Let the tokens of `x` attend to each other."""
        query, key, value = self.ordered(x, attend.queries.where)
        return self.join(self.mechanism(query, key, value, attend, self.position))

    def cross(
        self, x: Float[Tensor, "b t m"], memory: Float[Tensor, "b s m"], attend: Attend
    ) -> Float[Tensor, "b t m"]:
        """Let the tokens of `x` attend to the memory."""
        return self.join(self.mechanism(self.ask(x), *self.answer(memory), attend, self.position))

    def step(self, x: Float[Tensor, "n 1 m"], past: Past | None, first: int) -> tuple[Float[Tensor, "n 1 m"], Past]:
        """Let one token per row, at position `first`, attend to itself and to the past."""
        mixed, past = self.mechanism.step(*self.ordered(x, first), past, self.position)
        return self.join(mixed), past

    def remember(self, memory: Float[Tensor, "b s m"], rows: Rows) -> Past:
        """What queries will need of a memory, computed once."""
        return self.mechanism.remember(*self.answer(memory), rows)

    def look(self, x: Float[Tensor, "b q m"], memory: Past, rows: Rows) -> Float[Tensor, "b q m"]:
        """Let the hypotheses of each sentence attend to the memory that they share."""
        return self.join(self.mechanism.look(self.ask(x), memory, rows))

    def weights(
        self, x: Float[Tensor, "b t m"], memory: Float[Tensor, "b s m"], rows: Rows
    ) -> Float[Tensor, "b h t s"]:
        """How much each head's query from each token of `x` looks at each token of the memory."""
        key, _ = self.answer(memory)
        return self.mechanism.weights(self.ask(x), key, rows)

    def ordered(
        self, x: Float[Tensor, "b t m"], where: int | Places
    ) -> tuple[Float[Tensor, "b h t d"], Float[Tensor, "b g t d"], Float[Tensor, "b g t d"]]:
        """Queries, keys and values of tokens that stand at positions `where`, `where + 1`, ..., or at its places."""
        query, key, value = torch.split(self.project(x), self.sizes, dim=-1)
        query, key = self.query_norm(self.split(query)), self.key_norm(self.split(key))
        return self.position.rotate(query, where), self.position.rotate(key, where), self.split(value)

    def ask(self, x: Float[Tensor, "b t m"]) -> Float[Tensor, "b h t d"]:
        """The queries to a memory."""
        query: Tensor = self.query_norm(self.split(self.project.part(x, 0, self.sizes[0])))
        return query

    def answer(self, memory: Float[Tensor, "b s m"]) -> tuple[Float[Tensor, "b g s d"], Float[Tensor, "b g s d"]]:
        """The keys and values of a memory."""
        key, value = self.project.part(memory, self.sizes[0], sum(self.sizes)).chunk(2, dim=-1)
        return self.key_norm(self.split(key)), self.split(value)

    def split(self, x: Float[Tensor, "b t f"]) -> Float[Tensor, "b h t d"]:
        """Cut vectors into heads."""
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)

    def join(self, x: Float[Tensor, "b h t d"]) -> Float[Tensor, "b t m"]:
        """Put the heads next to each other and mix them."""
        merged: Tensor = self.merge(x.transpose(1, 2).flatten(2))
        return merged
