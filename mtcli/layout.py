"""How sentences lie in a tensor, who may attend to whom, and `Batch`, which data makes and models read.

Dimensions everywhere: `b` batch, `s` source, `t` target, `q` queries, `k` keys, `h` heads, `d` head_dim,
`m` model_dim, `v` vocabulary. A mask is boolean and True means "may attend".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""The first four tokens of every vocabulary; the tokenizer is trained with these ids."""


@dataclass(frozen=True)
class Rows:
    """One sentence per row, starting at column 0 and padded at the end to `width` columns."""

    lengths: Int[Tensor, " b"]
    width: int

    @cached_property
    def valid(self) -> Bool[Tensor, "b w"]:
        """True where a token is, False where padding is."""
        return self.positions < self.lengths[:, None]

    @cached_property
    def positions(self) -> Int[Tensor, " w"]:
        """The position of each column, counted from 0."""
        return torch.arange(self.width, device=self.lengths.device)

    @cached_property
    def full(self) -> bool:
        """Whether no row has padding."""
        return bool((self.lengths == self.width).all())

    def part(self, rows: slice) -> Rows:
        """Some of the rows, as wide as the longest of them."""
        lengths = self.lengths[rows]
        return Rows(lengths, int(lengths.max()))

    def to(self, device: torch.device) -> Rows:
        """The same rows on another device."""
        return Rows(self.lengths.to(device, non_blocking=True), self.width)


@dataclass(frozen=True)
class Attend:
    """Which keys each query may attend to: real ones and, if `causal`, none after the query's own position."""

    queries: Rows
    keys: Rows
    causal: bool = False

    @cached_property
    def mask(self) -> Bool[Tensor, "b 1 q k"]:
        """The permission as a mask, with a dimension for the heads."""
        allowed = self.keys.valid[:, None, None, :]
        if self.causal:
            earlier = self.keys.positions <= self.queries.positions[:, None]
            allowed = allowed & earlier
        return allowed


@dataclass(frozen=True)
class Batch:
    """Sentence pairs as token ids: the target once to read (`target_in`) and once to predict (`target_out`).

    `source` ends with EOS; `target_in` begins with BOS; `target_out` is `target_in` moved by one, and ends with EOS.
    Every row of `target_in` and `target_out` has the length that `target_rows` states.
    """

    source: Int[Tensor, "b s"]
    source_rows: Rows
    target_in: Int[Tensor, "b t"]
    target_out: Int[Tensor, "b t"]
    target_rows: Rows

    @classmethod
    def of(cls, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Batch:
        """Pad pairs of token lists, without BOS and EOS, to one batch."""
        source, source_rows = pad([[*tokens, EOS] for tokens in sources])
        target_in, target_rows = pad([[BOS, *tokens] for tokens in targets])
        target_out, _ = pad([[*tokens, EOS] for tokens in targets])
        return cls(source, source_rows, target_in, target_out, target_rows)

    @property
    def source_tokens(self) -> int:
        """Source tokens with EOS, without padding."""
        return int(self.source_rows.lengths.sum())

    @property
    def target_tokens(self) -> int:
        """Target tokens to predict, EOS included, without padding."""
        return int(self.target_rows.lengths.sum())

    def above(self, other: Batch) -> Batch:
        """The rows of this batch, and below them those of another whose sides are as wide."""
        source_rows = Rows(torch.cat([self.source_rows.lengths, other.source_rows.lengths]), self.source_rows.width)
        target_rows = Rows(torch.cat([self.target_rows.lengths, other.target_rows.lengths]), self.target_rows.width)
        sides = ((self.source, other.source), (self.target_in, other.target_in), (self.target_out, other.target_out))
        source, target_in, target_out = (torch.cat(pair) for pair in sides)
        return Batch(source, source_rows, target_in, target_out, target_rows)

    def parts(self, count: int) -> list[Batch]:
        """Its rows, in order, in `count` batches of about as many, or one each if there are fewer."""
        if count == 1:
            return [self]
        size = -(-len(self.source) // count)
        return [self.part(slice(start, start + size)) for start in range(0, len(self.source), size)]

    def part(self, rows: slice) -> Batch:
        """The batch of some of its rows, without the columns that only the others need."""
        source_rows, target_rows = self.source_rows.part(rows), self.target_rows.part(rows)
        source, target = (rows, slice(source_rows.width)), (rows, slice(target_rows.width))
        return Batch(self.source[source], source_rows, self.target_in[target], self.target_out[target], target_rows)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        if self.source.device == device:
            return self
        moved = (x.to(device, non_blocking=True) for x in (self.source, self.target_in, self.target_out))
        source, target_in, target_out = moved
        return Batch(source, self.source_rows.to(device), target_in, target_out, self.target_rows.to(device))


def pad(rows: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "b w"], Rows]:
    """Lay token lists into one tensor, padded at the end with `PAD`."""
    lengths = [len(row) for row in rows]
    width = max(lengths)
    padded = [[*row, *[PAD] * (width - len(row))] for row in rows]
    return torch.tensor(padded), Rows(torch.tensor(lengths), width)
