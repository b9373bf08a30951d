"""Linformer (Wang et al. 2020, eq. 7): `softmax(Q (E K)^T / sqrt(d)) (F V)`, with a few rows of keys and values."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mtcli.errors import DataError
from mtcli.kernels.attention import dot_product_attention
from mtcli.layout import Attend, Rows
from mtcli.model.attention.mechanism import Cache, Mechanism, Past
from mtcli.model.attention.softmax import widen
from mtcli.model.position import Position


class LinformerAttention(Mechanism):
    """Each of `rank` keys is a learned sum of all keys by their places, and likewise each value.

    One pair E, F serves all heads of a layer (the paper's headwise sharing). There is no causal form: a sum holds
    keys from before and after a query.
    """

    reads = ("rank", "max_positions", "attention_dropout")
    bounded = True
    supports_causal = False
    supports_bias = False
    supports_rotation = False

    def __init__(self, rank: int, max_positions: int, attention_dropout: float) -> None:
        super().__init__()
        self.max_positions = max_positions
        self.attention_dropout = attention_dropout
        # Variance 1/rank, as in the paper's proof (Theorem 1): a sum over about `rank` tokens is as long as one of
        # them. 1/max_positions would begin with values near 0, since most sentences are far from the longest.
        self.reduce_keys = nn.Parameter(torch.randn(rank, max_positions) * rank**-0.5)
        self.reduce_values = nn.Parameter(torch.randn(rank, max_positions) * rank**-0.5)

    def forward(
        self,
        query: Float[Tensor, "b h q d"],
        key: Float[Tensor, "b g k d"],
        value: Float[Tensor, "b g k d"],
        attend: Attend,
        position: Position,
    ) -> Float[Tensor, "b h q d"]:
        """Mix the reduced values for all queries."""
        assert not attend.causal
        return self.look(query, self.remember(key, value, attend.keys), attend.keys)

    def step(
        self,
        query: Float[Tensor, "n h 1 d"],
        key: Float[Tensor, "n g 1 d"],
        value: Float[Tensor, "n g 1 d"],
        past: Past | None,
        position: Position,
    ) -> tuple[Float[Tensor, "n h 1 d"], Past]:
        """There is none, as there is no causal form."""
        raise NotImplementedError

    def remember(self, key: Float[Tensor, "b g k d"], value: Float[Tensor, "b g k d"], rows: Rows) -> Cache:
        """The reduced keys and values; raises `DataError` if a sentence is longer than `max_positions`."""
        limit = self.max_positions
        if rows.width > limit and (longest := int(rows.lengths.max())) > limit:
            raise DataError(
                f"a sentence of {longest} tokens is too long for linformer, which holds {limit} in this model",
                "split the sentence, or train a model with a larger --max-positions",
            )
        places = min(rows.width, limit)  # beyond the limit there can be only padding
        real = rows.valid[:, None, :places, None]
        return Cache(
            self.reduce_keys[:, :places] @ (key[:, :, :places] * real),
            self.reduce_values[:, :places] @ (value[:, :, :places] * real),
        )

    def look(self, query: Float[Tensor, "b h q d"], memory: Past, rows: Rows) -> Float[Tensor, "b h q d"]:
        """Mix the reduced values for queries without an order; none of them stands for padding."""
        assert isinstance(memory, Cache)
        key, value = widen(memory.key, query), widen(memory.value, query)
        dropout = self.attention_dropout if self.training else 0.0
        return dot_product_attention(query, key, value, dropout=dropout)
