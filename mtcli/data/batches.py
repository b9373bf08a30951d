"""Batches within a token budget, in an order that a run can leave and take up again anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise
from typing import Protocol

import numpy as np
import torch

from mtcli.data import shards
from mtcli.data.encoded import Encoded, Sentences
from mtcli.data.shards import Indices
from mtcli.layout import BOS, EOS, PAD, Batch, Rows

# Batches sorted by length together: more leave less padding, fewer mix lengths and sentences more.
POOL = 100


@dataclass(frozen=True)
class Place:
    """Where in the data a run stands: `index` batches of this epoch are behind it, `before` in earlier shards."""

    epoch: int = 0
    index: int = 0
    shard: int = 0
    before: int = 0


class Form(Protocol):
    """How pairs become batches."""

    def batches(self, corpus: Encoded, pairs: Indices) -> Iterator[Indices]:
        """The pairs of each batch, of pairs in random order."""

    def assemble(self, corpus: Encoded, pairs: Indices) -> Batch:
        """The batch of these pairs."""


@dataclass(frozen=True)
class Padded:
    """Pairs of similar length together, a sentence in each row."""

    max_tokens: int
    """Rows times the longest side with EOS, padding included; a pair longer than that is a batch of its own."""

    def batches(self, corpus: Encoded, pairs: Indices) -> Iterator[Indices]:
        """The pairs of each batch."""
        return cut(corpus, by_length(corpus, pairs), self.max_tokens)

    def assemble(self, corpus: Encoded, pairs: Indices) -> Batch:
        """The batch of these pairs."""
        return assemble(corpus, pairs)


class Batches:
    """The batches of every epoch: each pair once, shuffled.

    An epoch is planned shard by shard, as each is reached, so that memory does not grow with the corpus.
    """

    def __init__(self, corpus: Encoded, max_tokens: int, seed: int, form: Form | None = None) -> None:
        """Prepare batches of about `max_tokens` of the longer side, padded if no other form is given."""
        self.corpus = corpus
        self.max_tokens = max_tokens
        self.seed = seed
        self.form = form or Padded(max_tokens)
        self.shards = shards.count(len(corpus))

    def through(self, epoch: int, shard: int = 0) -> Iterator[tuple[Encoded, Indices]]:
        """The batches of a shard of an epoch, each as pairs of a corpus.

        They depend on the seed, these two numbers and the lengths only.
        """
        generator, pools = self.pools(epoch, shard)
        batches = [batch for pool in pools for batch in self.form.batches(self.corpus, pool)]
        return ((self.corpus, batches[index]) for index in generator.permutation(len(batches)))

    def pools(self, epoch: int, shard: int) -> tuple[np.random.Generator, list[Indices]]:
        """Random numbers, and the pairs of a shard, shuffled by them, in parts of about `POOL` batches."""
        total, seeds = len(self.corpus), [self.seed, epoch]
        pairs, generator = shards.members(total, shard, seeds), shards.generator(total, shard, seeds)
        tokens = float(longer(self.corpus, pairs).sum())
        count = max(1, round(tokens / (POOL * self.max_tokens)))
        return generator, np.array_split(pairs[generator.permutation(len(pairs))], count)

    def from_(self, place: Place, rank: int = 0, world: int = 1) -> Iterator[tuple[Batch, Place]]:
        """All batches from `place` on, epoch after epoch without end, each with the place behind it.

        Of `world` processes each gets one in turn, with the place behind those that all get in this turn.
        """
        stream = self._planned(place)
        while True:
            turn = list(islice(stream, world))
            yield self.form.assemble(*turn[rank][0]), turn[-1][1]

    def _planned(self, place: Place) -> Iterator[tuple[tuple[Encoded, Indices], Place]]:
        """The batches from `place` on, as pairs of a corpus, each with the place behind it."""
        while True:
            index = place.index
            rest = islice(self.through(place.epoch, place.shard), index - place.before, None)
            for batch, following in pairwise(chain(rest, [None])):
                assert batch is not None
                index += 1
                yield batch, replace(place, index=index) if following else self._behind(place, index)
            place = self._behind(place, index)
            self.corpus.release()

    def _behind(self, place: Place, index: int) -> Place:
        """The place behind the shard of `place`, where `index` batches of the epoch are done."""
        if place.shard + 1 == self.shards:
            return Place(place.epoch + 1)
        return Place(place.epoch, index, place.shard + 1, before=index)

    def steps_per_epoch(self, epoch: int = 0) -> int:
        """Batches of an epoch, of several shards about as many, judged by the first; epochs differ a little."""
        found = [pairs for _, pairs in Batches.through(self, epoch)]
        return round(len(found) * len(self.corpus) / sum(map(len, found)))


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
    source, target = corpus.sources.lengths_of(pairs), corpus.targets.lengths_of(pairs)
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
    return np.maximum(corpus.sources.lengths_of(pairs), corpus.targets.lengths_of(pairs)) + 1
