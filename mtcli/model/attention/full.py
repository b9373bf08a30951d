"""Scaled dot-product attention (Vaswani et al. 2017, eq. 1): `softmax(Q K^T / sqrt(d)) V`."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mtcli.kernels.attention import dot_product_attention, packed_attention
from mtcli.kernels.causal_linear import precise
from mtcli.layout import Attend, Rows
from mtcli.model.attention.mechanism import Cache, Mechanism, Past
from mtcli.model.attention.softmax import attend as mix
from mtcli.model.attention.softmax import limited, softmax, widen
from mtcli.model.position import Position


class FullAttention(Mechanism):
    """Every query attends to every key it may attend to."""

    reads = ("attention_dropout",)
    supports_weights = True
    supports_packed = True

    def __init__(self, attention_dropout: float) -> None:
        super().__init__()
        self.attention_dropout = attention_dropout

    def forward(
        self,
        query: Float[Tensor, "b h q d"],
        key: Float[Tensor, "b g k d"],
        value: Float[Tensor, "b g k d"],
        attend: Attend,
        position: Position,
    ) -> Float[Tensor, "b h q d"]:
        """Mix all values for all queries."""
        dropout = self.attention_dropout if self.training else 0.0
        if attend.keys.packed:
            return packed_attention(query, widen(key, query), widen(value, query), attend)
        if attend.causal and not position.changes_logits:
            # Padding stands at the end, so that no real query sees it; what padded queries see is never read.
            key, value = widen(key, query), widen(value, query)
            return dot_product_attention(query, key, value, causal=True, dropout=dropout)
        mask = attend.mask if attend.causal or not attend.keys.full else None
        offsets = attend.keys.positions - attend.queries.positions[:, None]
        return mix(query, key, value, mask, offsets, position, dropout)

    def step(
        self,
        query: Float[Tensor, "n h 1 d"],
        key: Float[Tensor, "n g 1 d"],
        value: Float[Tensor, "n g 1 d"],
        past: Past | None,
        position: Position,
    ) -> tuple[Float[Tensor, "n h 1 d"], Cache]:
        """Mix the values of the past and of this token; all of them are kept."""
        assert past is None or isinstance(past, Cache)
        past = past.append(key, value) if past else Cache(key, value)
        keys = past.key.shape[2]
        offsets = torch.arange(1 - keys, 1, device=query.device)[None, :]
        return mix(query, past.key, past.value, None, offsets, position, 0.0), past

    def remember(self, key: Float[Tensor, "b g k d"], value: Float[Tensor, "b g k d"], rows: Rows) -> Cache:
        """All of them."""
        return Cache(key, value)

    def look(self, query: Float[Tensor, "b h q d"], memory: Past, rows: Rows) -> Float[Tensor, "b h q d"]:
        """Mix the memory's values for queries without an order: the hypotheses of one sentence."""
        assert isinstance(memory, Cache)
        mask = None if rows.full else rows.valid[:, None, None, :]
        key, value = widen(memory.key, query), widen(memory.value, query)
        return dot_product_attention(query, key, value, mask)

    def weights(
        self, query: Float[Tensor, "b h q d"], key: Float[Tensor, "b g k d"], rows: Rows
    ) -> Float[Tensor, "b h q k"]:
        """The softmax over a sentence's keys, without dropout."""
        logits = query @ widen(key, query).transpose(-1, -2) * query.shape[-1] ** -0.5
        return softmax(limited(precise(logits), rows.valid[:, None, None]))
