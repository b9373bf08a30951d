"""Batches within a token budget, in an order that a run can leave and take up again anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, pairwise

import numpy as np
import numpy.typing as npt
import torch

from mtcli.data.encoded import Encoded, Sentences
from mtcli.layout import BOS, EOS, PAD, Batch, Rows

# Batches sorted by length together: more leave less padding, fewer mix lengths and sentences more.
POOL = 100

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """Where in the data a run stands: `index` batches of this epoch are behind it."""

    epoch: int = 0
    index: int = 0


class Batches:
    """The batches of every epoch: each pair once, shuffled, with pairs of similar length together."""

    def __init__(self, corpus: Encoded, max_tokens: int, seed: int) -> None:
        """Prepare batches of at most `max_tokens`: rows times the longest side with EOS, padding included.

        A pair that is longer than that is a batch of its own.
        """
        self.corpus = corpus
        self.max_tokens = max_tokens
        self.seed = seed

    def epoch(self, number: int) -> list[Indices]:
        """The pairs of each batch of an epoch; they depend on the seed, the number and the lengths only."""
        generator = np.random.default_rng([self.seed, number])
        order = generator.permutation(len(self.corpus))
        batches = [
            batch
            for pool in np.array_split(order, self._pools())
            for batch in cut(self.corpus, by_length(self.corpus, pool), self.max_tokens)
        ]
        return [batches[index] for index in generator.permutation(len(batches))]

    def through(self, number: int) -> Iterator[tuple[Encoded, Indices]]:
        """The batches of an epoch, each as pairs of a corpus."""
        return ((self.corpus, batch) for batch in self.epoch(number))

    def from_(self, place: Place, rank: int = 0, world: int = 1) -> Iterator[tuple[Batch, Place]]:
        """All batches from `place` on, epoch after epoch without end, each with the place behind it.

        Of `world` processes each gets one in turn, with the place behind those that all get in this turn.
        """
        stream = self._planned(place)
        while True:
            turn = list(islice(stream, world))
            yield self.assembled(*turn[rank][0]), turn[-1][1]

    def assembled(self, corpus: Encoded, pairs: Indices) -> Batch:
        """The batch of these pairs."""
        return assemble(corpus, pairs)

    def _planned(self, place: Place) -> Iterator[tuple[tuple[Encoded, Indices], Place]]:
        """The batches from `place` on, as pairs of a corpus, each with the place behind it."""
        epoch, index = place.epoch, place.index
        while True:
            rest = islice(self.through(epoch), index, None)
            for batch, following in pairwise(chain(rest, [None])):
                assert batch is not None
                index += 1
                yield batch, Place(epoch, index) if following else Place(epoch + 1)
            epoch, index = epoch + 1, 0

    def steps_per_epoch(self, epoch: int = 0) -> int:
        """Batches of an epoch; other epochs have slightly more or fewer."""
        return len(self.epoch(epoch))

    def _pools(self) -> int:
        """Into how many parts an epoch is divided, so that each gives about `POOL` batches."""
        return max(1, round(float(longer(self.corpus, np.arange(len(self.corpus))).sum()) / (POOL * self.max_tokens)))


def in_order(corpus: Encoded, max_tokens: int) -> Iterator[Batch]:
    """Every pair once, from the shortest to the longest: batches to compute a loss with."""
    for batch in cut(corpus, by_length(corpus, np.arange(len(corpus))), max_tokens):
        yield assemble(corpus, batch)


def assemble(corpus: Encoded, pairs: Indices) -> Batch:
    """The batch of these pairs, equal to `Batch.of` their tokens."""
    source, source_lengths = _pad(corpus.sources, pairs)
    target, target_lengths = _pad(corpus.targets, pairs)
    rows = np.arange(len(pairs))
    source[rows, source_lengths] = EOS
    target_in = np.concatenate([np.full((len(pairs), 1), BOS), target[:, :-1]], axis=1)
    target[rows, target_lengths] = EOS
    return Batch(
        torch.from_numpy(source),
        Rows(torch.from_numpy(source_lengths + 1), source.shape[1]),
        torch.from_numpy(target_in),
        torch.from_numpy(target),
        Rows(torch.from_numpy(target_lengths + 1), target.shape[1]),
    )


def _pad(sentences: Sentences, rows: Indices) -> tuple[Indices, Indices]:
    """Sentences as rows of one array with at least one column of padding, and their lengths."""
    chosen = sentences.chosen(rows)
    lengths = chosen.lengths
    valid = np.arange(lengths.max() + 1) < lengths[:, None]
    padded = np.full(valid.shape, PAD, np.int64)
    padded[valid] = chosen.tokens
    return padded, lengths


def by_length(corpus: Encoded, pairs: Indices) -> Indices:
    """Pairs by their longer side, and by the other among those; equals keep their order.

    The second key runs up and down in turn, so that neighbours are similar where the first changes too. On Multi30k
    with 4,096 tokens this leaves 3 % padding; sorting by target and then source leaves 7 %.
    """
    source, target = corpus.source_lengths[pairs], corpus.target_lengths[pairs]
    longest = np.maximum(source, target)
    direction = np.where(longest % 2, 1, -1)
    return pairs[np.lexsort(((target - source) * direction, longest))]


def cut(corpus: Encoded, pairs: Indices, max_tokens: int) -> Iterator[Indices]:
    """Runs of pairs that `by_length` ordered, each as long as the budget allows."""
    longest = longer(corpus, pairs)
    start = 0
    while start < len(pairs):
        ahead = longest[start : start + max(1, max_tokens // longest[start])]
        padded = ahead * np.arange(1, len(ahead) + 1)
        size = max(1, int(np.searchsorted(padded, max_tokens, side="right")))
        yield pairs[start : start + size]
        start += size


def longer(corpus: Encoded, pairs: Indices) -> Indices:
    """Tokens of the longer side of pairs, EOS included."""
    return np.maximum(corpus.source_lengths[pairs], corpus.target_lengths[pairs]) + 1
