"""What every attention mechanism offers: all queries at once, or one query at a time with what it remembers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.layout import Attend, Rows
from mtcli.model.choice import Choice
from mtcli.model.position import Position


class Past(ABC):
    """What a mechanism remembers of keys and values for later queries; row by row."""

    @abstractmethod
    def select(self, rows: Int[Tensor, " r"]) -> Past:
        """The same with the old row `rows[i]` as row `i`."""


@dataclass(frozen=True)
class Cache(Past):
    """All keys and values themselves."""

    key: Float[Tensor, "n g k d"]
    value: Float[Tensor, "n g k d"]

    def append(self, key: Float[Tensor, "n g q d"], value: Float[Tensor, "n g q d"]) -> Cache:
        """The cache with further keys and values at its end."""
        return Cache(torch.cat((self.key, key), dim=2), torch.cat((self.value, value), dim=2))

    def select(self, rows: Int[Tensor, " r"]) -> Cache:
        """The cache with row `rows[i]` as row `i`."""
        return Cache(self.key.index_select(0, rows), self.value.index_select(0, rows))


class Mechanism(Choice, nn.Module, ABC):
    """How queries, keys and values are mixed; owns no projections, and declares what it cannot do.

    Keys and values may have fewer heads than queries, `g` of them: each serves `h / g` heads next to each other.
    """

    supports_causal: ClassVar[bool] = True
    """Whether it can be a decoder's self-attention."""
    supports_cross: ClassVar[bool] = True
    """Whether its queries and keys may belong to two sequences."""
    supports_bias: ClassVar[bool] = True
    """Whether it forms attention logits, to which a position can add, and weights."""
    supports_rotation: ClassVar[bool] = True
    """Whether rotated queries and keys make it depend on offsets only."""
    supports_weights: ClassVar[bool] = False
    """Whether it can say how much a query looks at each key of another sequence."""
    supports_packed: ClassVar[bool] = False
    """Whether it can keep several sentences in one row apart, without a bias and without dropout of weights."""

    @abstractmethod
    def forward(
        self,
        query: Float[Tensor, "b h q d"],
        key: Float[Tensor, "b g k d"],
        value: Float[Tensor, "b g k d"],
        attend: Attend,
        position: Position,
    ) -> Float[Tensor, "b h q d"]:
        """Mix the values for all queries."""

    @abstractmethod
    def step(
        self,
        query: Float[Tensor, "n h 1 d"],
        key: Float[Tensor, "n g 1 d"],
        value: Float[Tensor, "n g 1 d"],
        past: Past | None,
        position: Position,
    ) -> tuple[Float[Tensor, "n h 1 d"], Past]:
        """Mix the values of the past, None at the first token, and of this token; return what later tokens need."""

    @abstractmethod
    def remember(self, key: Float[Tensor, "b g k d"], value: Float[Tensor, "b g k d"], rows: Rows) -> Past:
        """What queries from another sequence need of these keys and values."""

    @abstractmethod
    def look(self, query: Float[Tensor, "b h q d"], memory: Past, rows: Rows) -> Float[Tensor, "b h q d"]:
        """Mix the memory's values for queries without an order: the hypotheses of one sentence."""

    def weights(
        self, query: Float[Tensor, "b h q d"], key: Float[Tensor, "b g k d"], rows: Rows
    ) -> Float[Tensor, "b h q k"]:
        """How much each query looks at each key of another sequence, in at least fp32; asked only where supported.

        A query's weights sum to 1; padding has none. Their product with the values is what `forward` returns.
        """
        raise NotImplementedError
