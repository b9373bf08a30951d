"""How sentences lie in a tensor, who may attend to whom, and `Batch`, which data makes and models read.

Dimensions everywhere: `b` batch, `s` source, `t` target, `q` queries, `k` keys, `h` heads, `d` head_dim,
`m` model_dim, `v` vocabulary. A mask is boolean and True means "may attend".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""The first four tokens of every vocabulary; the tokenizer is trained with these ids."""


@dataclass(frozen=True)
class Places:
    """The positions in their sentences of tokens that do not simply follow each other; all are below `end`."""

    index: Int[Tensor, " t"]
    end: int


@dataclass(frozen=True)
class Rows:
    """One sentence per row, starting at column 0 and padded at the end to `width` columns."""

    lengths: Int[Tensor, " n"]
    width: int

    packed: ClassVar[bool] = False
    """Whether sentences share a row."""
    axis: ClassVar[int] = 0
    """The dimension along which further sentences are added."""

    @cached_property
    def valid(self) -> Bool[Tensor, "b w"]:
        """True where a token is, False where padding is."""
        return self.positions < self.lengths[:, None]

    @cached_property
    def positions(self) -> Int[Tensor, " w"]:
        """The position of each column, counted from 0."""
        return torch.arange(self.width, device=self.lengths.device)

    @property
    def where(self) -> int | Places:
        """The position of the first column, if those after it follow, or the positions of all."""
        return 0

    @cached_property
    def full(self) -> bool:
        """Whether no row has padding."""
        return bool((self.lengths == self.width).all())

    @property
    def sentences(self) -> int:
        """How many there are."""
        return len(self.lengths)

    def seen_from(self, queries: Rows) -> Bool[Tensor, "b 1 #q k"]:
        """Which of these tokens belong to the sentence of a query, whatever their order; with one for the heads."""
        return self.valid[:, None, None, :]

    def real(self, values: Shaped[Tensor, "bw *x"]) -> Shaped[Tensor, "r *x"]:
        """Of what all columns of all rows have, one below the other, that which belongs to tokens."""
        return values[self.valid.flatten()]

    def part(self, sentences: slice) -> tuple[Rows, tuple[slice, slice]]:
        """Some of the sentences, in rows as wide as the longest of them, and where in the tensor these are."""
        lengths = self.lengths[sentences]
        width = int(lengths.max())
        return Rows(lengths, width), (sentences, slice(width))

    def above(self, other: Rows) -> Rows:
        """These rows, and below them others as wide."""
        return Rows(torch.cat([self.lengths, other.lengths]), self.width)

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
        allowed = self.keys.seen_from(self.queries)
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
        """The sentences of this batch, and then those of another whose sides are as wide."""
        source_rows, target_rows = (
            self.source_rows.above(other.source_rows),
            self.target_rows.above(other.target_rows),
        )
        sides = ((self.source, other.source), (self.target_in, other.target_in), (self.target_out, other.target_out))
        source, target_in, target_out = (torch.cat(pair, self.source_rows.axis) for pair in sides)
        return Batch(source, source_rows, target_in, target_out, target_rows)

    @property
    def pairs(self) -> int:
        """How many sentence pairs it has."""
        return self.source_rows.sentences

    def parts(self, count: int) -> list[Batch]:
        """Its pairs, in order, in `count` batches of about as many, or one each if there are fewer."""
        if count == 1:
            return [self]
        pairs = self.pairs
        size = -(-pairs // count)
        return [self.part(slice(start, min(start + size, pairs))) for start in range(0, pairs, size)]

    def part(self, pairs: slice) -> Batch:
        """The batch of some of its pairs, without the columns that only the others need."""
        source_rows, source = self.source_rows.part(pairs)
        target_rows, target = self.target_rows.part(pairs)
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
