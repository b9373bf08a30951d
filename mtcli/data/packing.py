"""Batches of one shape: pairs in random order, end to end in a row for each side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from mtcli.data.encoded import Encoded, Sentences
from mtcli.data.shards import Indices
from mtcli.layout import BOS, EOS, PAD, Batch
from mtcli.packing import Packed

SPARE = 1.02
"""The shorter side gets this times its share of tokens, so that it is seldom the one that is full first."""
CROWD = 2
"""Batches of sentences shorter than usual may have this times as many as usual; then they are not filled."""
MULTIPLE = 8
"""GPUs multiply matrices fastest whose sides are multiples of 8."""


@dataclass(frozen=True)
class Packing:
    """Rows of fixed width for sources and for targets, with room for a fixed number of sentences."""

    source: int
    target: int
    """Columns of a row."""
    longest: int
    """Columns that a sentence has at most, EOS included."""
    pairs: int
    """Pairs in a batch at most."""

    @classmethod
    def of(cls, corpus: Encoded, max_tokens: int, longest: int) -> Packing:
        """Rows of `max_tokens` for the longer side of a corpus, and as much shorter ones for the other.

        No row is too short for the longest sentence.
        """
        pairs, tokens = len(corpus), np.array([corpus.source_tokens, corpus.target_tokens]) + len(corpus)
        shares = np.minimum(SPARE * tokens / tokens.max(), 1)
        enough = longest + -(-max_tokens // longest) + 1
        source, target = (max(enough, int(share * max_tokens)) for share in shares)
        most = 1 + int(CROWD * max_tokens * pairs / tokens.max())
        return cls(rounded(source), rounded(target), longest, most)

    @property
    def fillers(self) -> int:
        """Sentences of padding at most; as many columns of each row are theirs in any case."""
        return -(-max(self.source, self.target) // self.longest)

    def batches(self, corpus: Encoded, pairs: Indices) -> Iterator[Indices]:
        """Runs of pairs, each as long as there is room."""
        sides = (
            (corpus.sources.lengths_of(pairs), self.source - self.fillers),
            (corpus.targets.lengths_of(pairs), self.target - self.fillers),
        )
        ends = [(np.cumsum(lengths + 1), room) for lengths, room in sides]
        start = 0
        while start < len(pairs):
            full = [np.searchsorted(end, (end[start - 1] if start else 0) + room, side="right") for end, room in ends]
            stop = min(int(min(full)), start + self.pairs)
            assert stop > start, "a sentence is longer than `longest`"
            yield pairs[start:stop]
            start = stop

    def assemble(self, corpus: Encoded, pairs: Indices) -> Batch:
        """The batch of these pairs: what `Batch.of` makes of their tokens, end to end."""
        source, target = corpus.sources.chosen(pairs), corpus.targets.chosen(pairs)
        used = (self.source - int((source.lengths + 1).sum()), self.target - int((target.lengths + 1).sum()))
        fillers = -(-max(used) // self.longest)
        return Batch(
            laid(source, self.source, 0, EOS),
            self.rows(source, self.source, fillers),
            laid(target, self.target, 1, BOS),
            laid(target, self.target, 0, EOS),
            self.rows(target, self.target, fillers),
        )

    def rows(self, sentences: Sentences, width: int, fillers: int) -> Packed:
        """How sentences lie in a row of which the rest is divided into so many of padding."""
        slots = self.pairs + self.fillers
        lengths = np.zeros(slots, np.int64)
        lengths[: len(sentences)] = sentences.lengths + 1
        columns, rest = lengths.copy(), width - lengths.sum()
        columns[len(sentences) : len(sentences) + fillers] = rest // fillers + (np.arange(fillers) < rest % fillers)
        starts = np.concatenate([[0], np.cumsum(columns)]).astype(np.int32)
        return Packed(torch.from_numpy(lengths), width, torch.from_numpy(starts), self.longest)


def laid(sentences: Sentences, width: int, shift: int, mark: int) -> torch.Tensor:
    """A row of sentences that have a mark before them if they are shifted by 1, and behind them if by 0."""
    count, lengths = len(sentences), sentences.lengths
    row = np.full(width, PAD, np.int64)
    row[np.arange(lengths.sum()) + np.repeat(np.arange(count), lengths) + shift] = sentences.tokens
    begin = np.cumsum(lengths + 1) - lengths - 1
    row[begin if shift else begin + lengths] = mark
    return torch.from_numpy(row[None])


def rounded(columns: int) -> int:
    """At least so many, in whole multiples."""
    return -(-columns // MULTIPLE) * MULTIPLE
