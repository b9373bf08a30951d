"""Scaled dot-product attention (Vaswani et al. 2017, eq. 1): `softmax(Q K^T / sqrt(d)) V`."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mtcli.layout import Attend, Rows
from mtcli.model.attention.mechanism import Cache, Mechanism
from mtcli.model.position import Position


class FullAttention(Mechanism):
    """Every query attends to every key it may attend to."""

    def forward(
        self,
        query: Float[Tensor, "b h q d"],
        key: Float[Tensor, "b h k d"],
        value: Float[Tensor, "b h k d"],
        attend: Attend,
        position: Position,
    ) -> Float[Tensor, "b h q d"]:
        """Mix all values for all queries."""
        bias = position.bias(query, attend.keys.positions - attend.queries.positions[:, None])
        dropout = self.dropout if self.training else 0.0
        if bias is None and attend.causal:
            # Padding stands at the end, so that no real query sees it; what padded queries see is never read.
            return scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)
        if bias is None and attend.keys.full:
            return scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        mask = attend.mask if bias is None else biased(attend.mask, bias)
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)

    def step(self, query: Float[Tensor, "n h 1 d"], past: Cache, position: Position) -> Float[Tensor, "n h 1 d"]:
        """Mix the values of the past for one query; the last of `past` is the query's own position."""
        keys = past.key.shape[2]
        offsets = torch.arange(1 - keys, 1, device=query.device)[None, :]
        return scaled_dot_product_attention(query, past.key, past.value, attn_mask=position.bias(query, offsets))

    def look(self, query: Float[Tensor, "b h q d"], memory: Cache, rows: Rows) -> Float[Tensor, "b h q d"]:
        """Mix the memory's values for queries without an order: the hypotheses of one sentence."""
        mask = None if rows.full else rows.valid[:, None, None, :]
        return scaled_dot_product_attention(query, memory.key, memory.value, attn_mask=mask)


def biased(mask: Bool[Tensor, "b 1 q k"], bias: Float[Tensor, "#b h q k"]) -> Float[Tensor, "b h q k"]:
    """The bias where attention is allowed and minus infinity where it is not."""
    return torch.where(mask, bias, float("-inf"))
