"""Sentences end to end in one row of fixed width: hardly any padding, and one shape for every batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from mtcli.layout import Places, Rows


@dataclass(frozen=True)
class Packed(Rows):
    """Sentences that follow each other in one row of `width` columns, and attend to nothing but themselves.

    What they leave of the row is cut into further sentences of nothing but padding, so that each column belongs to
    one. `lengths` are those of the real ones, and 0 for the others: their number is fixed too, and may be larger than
    needed. Sentence `i` has the columns from `starts[i]` to `starts[i + 1]`.
    """

    starts: Int[Tensor, " n1"]
    longest: int
    """No sentence has more columns."""

    packed: ClassVar[bool] = True
    axis: ClassVar[int] = 1

    @cached_property
    def sentence(self) -> Int[Tensor, " w"]:
        """Which sentence each column belongs to."""
        columns = torch.arange(self.width, device=self.starts.device, dtype=self.starts.dtype)
        return torch.bucketize(columns, self.starts[1:], right=True)

    @cached_property
    def valid(self) -> Bool[Tensor, "1 w"]:
        """True where a token is, False where padding is."""
        return (self.lengths > 0)[self.sentence][None]

    @cached_property
    def positions(self) -> Int[Tensor, " w"]:
        """The position of each column in its sentence, counted from 0."""
        return torch.arange(self.width, device=self.starts.device) - self.starts[self.sentence]

    @property
    def where(self) -> Places:
        """The positions, of which none follows from the others."""
        return Places(self.positions, self.longest)

    @property
    def sentences(self) -> int:
        """How many real ones there are; they are the first."""
        return int((self.lengths > 0).sum())

    def seen_from(self, queries: Rows) -> Bool[Tensor, "1 1 q k"]:
        """Which of these tokens belong to the sentence of a query; padding sees padding."""
        assert isinstance(queries, Packed)
        return (self.sentence == queries.sentence[:, None])[None, None]

    def real(self, values: Shaped[Tensor, "w *x"]) -> Shaped[Tensor, "w *x"]:
        """All columns, so that the shape is always the same; a loss must leave out those whose target is `PAD`."""
        return values

    def part(self, sentences: slice) -> tuple[Packed, tuple[slice, slice]]:
        """Some of the sentences and no padding, and where in the tensor they are."""
        starts = self.starts[sentences.start : sentences.stop + 1]
        columns = slice(int(starts[0]), int(starts[-1]))
        width = columns.stop - columns.start
        return Packed(self.lengths[sentences], width, starts - starts[0], self.longest), (slice(None), columns)

    def above(self, other: Rows) -> Packed:
        """These sentences, and behind them others, in a row as wide as both."""
        assert isinstance(other, Packed)
        starts = torch.cat([self.starts, other.starts[1:] + self.width])
        lengths = torch.cat([self.lengths, other.lengths])
        return Packed(lengths, self.width + other.width, starts, max(self.longest, other.longest))

    def to(self, device: torch.device) -> Packed:
        """The same row on another device."""
        starts = self.starts.to(device, non_blocking=True)
        return Packed(self.lengths.to(device, non_blocking=True), self.width, starts, self.longest)
