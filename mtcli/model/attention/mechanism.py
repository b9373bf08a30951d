"""What every attention mechanism offers: all queries at once, or one query at a time with a cache."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.layout import Attend, Rows
from mtcli.model.position import Position


@dataclass(frozen=True)
class Cache:
    """The keys and values that later queries may attend to."""

    key: Float[Tensor, "n h k d"]
    value: Float[Tensor, "n h k d"]

    def append(self, key: Float[Tensor, "n h q d"], value: Float[Tensor, "n h q d"]) -> Cache:
        """The cache with further keys and values at its end."""
        return Cache(torch.cat((self.key, key), dim=2), torch.cat((self.value, value), dim=2))

    def select(self, rows: Int[Tensor, " r"]) -> Cache:
        """The cache with row `rows[i]` as row `i`."""
        return Cache(self.key.index_select(0, rows), self.value.index_select(0, rows))


class Mechanism(nn.Module, ABC):
    """How queries, keys and values are mixed; owns no projections, and declares what it cannot do."""

    supports_causal: ClassVar[bool] = True
    supports_cross: ClassVar[bool] = True
    supports_bias: ClassVar[bool] = True

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    @abstractmethod
    def forward(
        self,
        query: Float[Tensor, "b h q d"],
        key: Float[Tensor, "b h k d"],
        value: Float[Tensor, "b h k d"],
        attend: Attend,
        position: Position,
    ) -> Float[Tensor, "b h q d"]:
        """Mix all values for all queries."""

    @abstractmethod
    def step(self, query: Float[Tensor, "n h 1 d"], past: Cache, position: Position) -> Float[Tensor, "n h 1 d"]:
        """Mix the values of the past for one query; the last of `past` is the query's own position."""

    @abstractmethod
    def look(self, query: Float[Tensor, "b h q d"], memory: Cache, rows: Rows) -> Float[Tensor, "b h q d"]:
        """Mix the memory's values for queries without an order: the hypotheses of one sentence."""
