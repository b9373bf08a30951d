"""The Sparse Transformer's attention (Child et al. 2019, 4.2 and 4.3), every head over both sets of a pattern.

Positions are rows of `stride` tokens. Time and memory grow as `n * (stride + n / stride)`: as `n * sqrt(n)` where the
stride is about the square root of the length.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from mtcli.model.attention.grid import around, in_rows, offsets_around
from mtcli.model.attention.partial import Part, join, part
from mtcli.model.attention.pattern import PatternAttention, Tokens


class SparseAttention(PatternAttention):
    """`strided`: tokens nearby and every `stride`-th one; `fixed`: the own row and the ends of other rows.

    The paper's patterns are causal; without that, they hold on both sides.
    """

    reads = ("sparse_pattern", "stride", "summary_tokens", "attention_dropout")

    def __init__(
        self,
        sparse_pattern: Literal["strided", "fixed"],
        stride: int,
        summary_tokens: int,
        attention_dropout: float,
    ) -> None:
        super().__init__(attention_dropout)
        self.strided = sparse_pattern == "strided"
        self.stride = stride
        self.summary_tokens = min(summary_tokens, stride)

    def allowed(self, queries: Int[Tensor, " q"], keys: Int[Tensor, " k"], causal: bool) -> Bool[Tensor, "q k"]:
        """The union of a pattern's two sets; nothing later if causal.

        Strided: `|i - j| < l` or `(i - j) mod l = 0`, with `l` the stride. (The paper goes back `l` steps: the last
        of them is in the second set.) Fixed: `j div l = i div l` or `j mod l >= l - c`, with `c` the summary tokens.
        """
        offsets = keys - queries[:, None]
        if self.strided:
            seen = (offsets.abs() < self.stride) | (offsets % self.stride == 0)
        else:
            seen = (keys // self.stride == (queries // self.stride)[:, None]) | self.ends(keys)
        return seen & (offsets <= 0) if causal else seen

    def lasting(self, keys: Int[Tensor, " k"], first: int) -> Bool[Tensor, " k"]:
        """All, or under the fixed pattern the row of `first` and the ends of those before."""
        if self.strided:
            return torch.ones_like(keys, dtype=torch.bool)
        return (keys // self.stride == first // self.stride) | self.ends(keys)

    def work(self, length: int, causal: bool) -> int:
        """The rows nearby, and of every row one token or its end."""
        count = -(-length // self.stride)
        places, nearby = count * self.stride, self.stride * (1 + sum(self.beside(causal)))
        return places * nearby + (places * count if self.strided else length * count * self.summary_tokens)

    def fast(self, tokens: Tokens) -> Float[Tensor, "b h t d"]:
        """What is near and what is far under one softmax."""
        return join([self.near(tokens), self.in_column(tokens) if self.strided else self.at_ends(tokens)])

    def near(self, tokens: Tokens) -> Part:
        """What each query gets from less than `stride` steps away, under the fixed pattern from its row."""
        before, after = self.beside(tokens.attend.causal)
        key, value, valid = (around(self.rows(x), before, after) for x in (tokens.key, tokens.value, tokens.valid))
        offsets = offsets_around(self.stride, before, after, key.device)
        inside = offsets.abs() < self.stride
        if tokens.attend.causal:
            inside = inside & (offsets <= 0)
        mask = valid.transpose(-1, -2) & inside
        found = part(self.rows(tokens.query), key, value, mask, offsets, tokens.position, tokens.dropout)
        return found.laid(lambda x: x.flatten(2, 3)[:, :, : tokens.length])

    def in_column(self, tokens: Tokens) -> Part:
        """What each query gets from its own column, a multiple of `stride` steps away; itself is near."""
        query, key, value, valid = (
            self.rows(x).transpose(2, 3) for x in (tokens.query, tokens.key, tokens.value, tokens.valid)
        )
        offsets = offsets_around(key.shape[3], 0, 0, key.device) * self.stride
        mask = valid.transpose(-1, -2) & (offsets < 0 if tokens.attend.causal else offsets != 0)
        found = part(query, key, value, mask, offsets, tokens.position, tokens.dropout)
        return found.laid(lambda x: x.transpose(2, 3).flatten(2, 3)[:, :, : tokens.length])

    def at_ends(self, tokens: Tokens) -> Part:
        """What each query gets from the ends of other rows; that of its own is near."""
        key, value, valid = (
            self.rows(x)[:, :, :, -self.summary_tokens :].flatten(2, 3)
            for x in (tokens.key, tokens.value, tokens.valid)
        )
        places, stride = tokens.attend.keys.positions, self.stride
        first = torch.arange(0, tokens.length, stride, device=key.device)
        ends = (first[:, None] + torch.arange(stride - self.summary_tokens, stride, device=key.device)).flatten()
        rows, own = ends // stride, places[:, None] // stride
        mask = valid.transpose(-1, -2) & (rows < own if tokens.attend.causal else rows != own)
        return part(tokens.query, key, value, mask, ends - places[:, None], tokens.position, tokens.dropout)

    def ends(self, positions: Int[Tensor, " k"]) -> Bool[Tensor, " k"]:
        """Which positions are among the last `summary_tokens` of their rows."""
        return positions % self.stride >= self.stride - self.summary_tokens

    def rows(self, x: Shaped[Tensor, "b h t d"]) -> Shaped[Tensor, "b h row column d"]:
        """Lay positions out in rows of `stride`."""
        return in_rows(x, self.stride)

    def beside(self, causal: bool) -> tuple[int, int]:
        """Rows to look at before the own one and after it."""
        return int(self.strided), int(self.strided and not causal)
