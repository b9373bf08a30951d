"""Scaled dot-product attention (Vaswani et al. 2017, eq. 1): `softmax(Q K^T / sqrt(d)) V`."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mtcli.kernels.causal_linear import precise
from mtcli.layout import Attend, Rows
from mtcli.model.attention.mechanism import Cache, Mechanism, Past
from mtcli.model.attention.pool import Beginning, Pool
from mtcli.model.attention.softmax import attend as mix
from mtcli.model.attention.softmax import limited, softmax, widen
from mtcli.model.position import Position


class FullAttention(Mechanism):
    """Every query attends to every key it may attend to."""

    reads = ("attention_dropout",)
    supports_weights = True

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
        if attend.causal and not position.changes_logits:
            # Padding stands at the end, so that no real query sees it; what padded queries see is never read.
            key, value = widen(key, query), widen(value, query)
            return scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)
        mask = attend.mask if attend.causal or not attend.keys.full else None
        offsets = attend.keys.positions - attend.queries.positions[:, None]
        return mix(query, key, value, mask, offsets, position, dropout)

    def begin(self, width: int) -> Beginning:
        """What is remembered before the first token of the `width` hypotheses of each sentence."""
        return Beginning(width)

    def step(
        self,
        query: Float[Tensor, "n h 1 d"],
        key: Float[Tensor, "n g 1 d"],
        value: Float[Tensor, "n g 1 d"],
        past: Past | None,
        position: Position,
    ) -> tuple[Float[Tensor, "n h 1 d"], Pool]:
        """Mix the values of the past and of this token; all of them are kept."""
        assert isinstance(past, (Beginning, Pool))
        pool = past.append(key, value)
        mask = None if pool.seen is None else pool.seen[:, None]
        mixed = mix(pool.by_sentence(query), pool.keys, pool.values, mask, pool.offsets, position, 0.0)
        return mixed.transpose(1, 2).flatten(0, 1)[:, :, None], pool

    def remember(self, key: Float[Tensor, "b g k d"], value: Float[Tensor, "b g k d"], rows: Rows) -> Cache:
        """All of them."""
        return Cache(key, value)

    def look(self, query: Float[Tensor, "b h q d"], memory: Past, rows: Rows) -> Float[Tensor, "b h q d"]:
        """Mix the memory's values for queries without an order: the hypotheses of one sentence."""
        assert isinstance(memory, Cache)
        mask = None if rows.full else rows.valid[:, None, None, :]
        key, value = widen(memory.key, query), widen(memory.value, query)
        return scaled_dot_product_attention(query, key, value, attn_mask=mask)

    def weights(
        self, query: Float[Tensor, "b h q d"], key: Float[Tensor, "b g k d"], rows: Rows
    ) -> Float[Tensor, "b h q k"]:
        """The softmax over a sentence's keys, without dropout."""
        logits = query @ widen(key, query).transpose(-1, -2) * query.shape[-1] ** -0.5
        return softmax(limited(precise(logits), rows.valid[:, None, None]))
