"""Block-local attention: tokens are cut into blocks, and see their own block and, if asked, the blocks beside it.

Blocks alone are the local attention of Liu et al. 2018 (4.2.4); with their neighbours they are the blocked sliding
window of Zaheer et al. 2020 (appendix D). Time and memory grow as `n * block_size`.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtcli.model.attention.grid import around, in_rows, offsets_around
from mtcli.model.attention.pattern import PatternAttention, Tokens
from mtcli.model.attention.softmax import attend


class BlockLocalAttention(PatternAttention):
    """Block `i` is made of the positions from `i * block_size` up to `(i + 1) * block_size - 1`."""

    reads = ("block_size", "neighbours", "attention_dropout")

    def __init__(self, block_size: int, neighbours: bool, attention_dropout: float) -> None:
        super().__init__(attention_dropout)
        self.block_size = block_size
        self.neighbours = neighbours

    def allowed(self, queries: Int[Tensor, " q"], keys: Int[Tensor, " k"], causal: bool) -> Bool[Tensor, "q k"]:
        """Blocks at most one apart, without neighbours the same block; nothing later if causal."""
        apart = keys // self.block_size - (queries // self.block_size)[:, None]
        near = apart.abs() <= int(self.neighbours)
        return near & (keys <= queries[:, None]) if causal else near

    def lasting(self, keys: Int[Tensor, " k"], first: int) -> Bool[Tensor, " k"]:
        """The block of `first` and, with neighbours, the one before."""
        return keys // self.block_size >= first // self.block_size - int(self.neighbours)

    def work(self, length: int, causal: bool) -> int:
        """Each block times those that it looks at."""
        blocks = -(-length // self.block_size)
        return blocks * self.block_size**2 * (1 + sum(self.beside(causal)))

    def fast(self, tokens: Tokens) -> Float[Tensor, "b h t d"]:
        """Every block at once: its queries beside the keys of one, two or three blocks."""
        before, after = self.beside(tokens.attend.causal)
        query = in_rows(tokens.query, self.block_size)
        key, value, valid = (
            around(in_rows(x, self.block_size), before, after) for x in (tokens.key, tokens.value, tokens.valid)
        )
        offsets, mask = offsets_around(self.block_size, before, after, query.device), valid.transpose(-1, -2)
        if tokens.attend.causal:
            mask = mask & (offsets <= 0)
        mixed = attend(query, key, value, mask, offsets, tokens.position, tokens.dropout)
        return mixed.flatten(2, 3)[:, :, : tokens.length]

    def beside(self, causal: bool) -> tuple[int, int]:
        """Blocks to look at before the own one and after it."""
        return int(self.neighbours), int(self.neighbours and not causal)
