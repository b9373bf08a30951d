"""Longformer's attention (Beltagy et al. 2020, 3.1): a sliding window, dilated if asked, and a few global tokens.

Time and memory grow as `n * (window + global_tokens)`. The paper gives global attention projections of its own; here
a mechanism owns no projections, so both kinds of attention share those of the layer.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from mtcli.model.attention.grid import around, in_rows, offsets_around
from mtcli.model.attention.partial import Part, join, part
from mtcli.model.attention.pattern import PatternAttention, Tokens
from mtcli.model.attention.softmax import attend


class LongformerAttention(PatternAttention):
    """Sees `window` tokens on each side, `dilation` apart; the first `global_tokens` see all and are seen by all."""

    reads = ("window", "dilation", "global_tokens", "attention_dropout")

    def __init__(self, window: int, dilation: int, global_tokens: int, attention_dropout: float) -> None:
        super().__init__(attention_dropout)
        self.window = window
        self.dilation = dilation
        self.global_tokens = global_tokens
        self.reach = window * dilation

    def allowed(self, queries: Int[Tensor, " q"], keys: Int[Tensor, " k"], causal: bool) -> Bool[Tensor, "q k"]:
        """`|j - i| <= window * dilation` in steps of `dilation`, or `i` or `j` is global; nothing later if causal."""
        offsets = keys - queries[:, None]
        near = (offsets.abs() <= self.reach) & (offsets % self.dilation == 0)
        seen = near | (keys < self.global_tokens) | (queries < self.global_tokens)[:, None]
        return seen & (offsets <= 0) if causal else seen

    def lasting(self, keys: Int[Tensor, " k"], first: int) -> Bool[Tensor, " k"]:
        """Global tokens, and what the window of `first` or later ones can reach."""
        return (keys < self.global_tokens) | (keys >= first - self.reach)

    def work(self, length: int, causal: bool) -> int:
        """Two or three windows for each place of the grid; all tokens by the global ones, and the reverse."""
        places, sides = -(-length // self.reach) * self.reach, 1 if causal else 2
        return places * self.window * (1 + sides) + length * min(self.global_tokens, length) * sides

    def fast(self, tokens: Tokens) -> Float[Tensor, "b h t d"]:
        """The window and the global keys under one softmax; then the global queries by themselves."""
        if not self.global_tokens:
            return join([self.near(tokens)])
        mixed = join([self.near(tokens), self.to_global(tokens)])
        if tokens.attend.causal:  # whatever a global token may see is global
            return mixed
        return torch.cat((self.of_global(tokens), mixed[:, :, self.global_tokens :]), dim=2)

    def near(self, tokens: Tokens) -> Part:
        """What each query gets from its window, global tokens left out.

        In blocks of `window` positions of one residue modulo `dilation`, no window reaches beyond the blocks beside.
        """
        after = int(not tokens.attend.causal)
        local = (tokens.attend.keys.positions >= self.global_tokens)[:, None]
        key, value, seen = (
            around(self.blocks(x), 1, after) for x in (tokens.key, tokens.value, tokens.valid & local)
        )
        steps = offsets_around(self.window, 1, after, key.device)
        inside = steps.abs() <= self.window
        if tokens.attend.causal:
            inside = inside & (steps <= 0)
        mask, offsets = seen.transpose(-1, -2) & inside, steps * self.dilation
        found = part(self.blocks(tokens.query), key, value, mask, offsets, tokens.position, tokens.dropout)
        return found.laid(lambda x: x.movedim(2, 4).flatten(2, 4)[:, :, : tokens.length])

    def to_global(self, tokens: Tokens) -> Part:
        """What each query gets from the global keys."""
        key, value, valid = (x[:, :, : self.global_tokens] for x in (tokens.key, tokens.value, tokens.valid))
        places = tokens.attend.keys.positions
        offsets, mask = places[: self.global_tokens] - places[:, None], valid.transpose(-1, -2)
        if tokens.attend.causal:
            mask = mask & (offsets <= 0)
        return part(tokens.query, key, value, mask, offsets, tokens.position, tokens.dropout)

    def of_global(self, tokens: Tokens) -> Float[Tensor, "b h global d"]:
        """What the global queries get from all keys."""
        query, places = tokens.query[:, :, : self.global_tokens], tokens.attend.keys.positions
        offsets, mask = places - places[: self.global_tokens, None], tokens.valid.transpose(-1, -2)
        return attend(query, tokens.key, tokens.value, mask, offsets, tokens.position, tokens.dropout)

    def blocks(self, x: Shaped[Tensor, "b h t d"]) -> Shaped[Tensor, "b h residue block window d"]:
        """Cut the positions of each residue into blocks."""
        rows = in_rows(x, self.reach)
        return rows.view(*rows.shape[:3], self.window, self.dilation, x.shape[3]).movedim(4, 2)
