"""A corpus in shards is batched as a whole one is: nothing is lost or repeated, and memory stays that of a shard."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.data import batches as batching
from mtcli.data import columns, encoded, shards
from mtcli.data.batches import Batches, Place
from mtcli.data.encoded import Encoded, Sentences
from tests.data.test_batches import budgets, corpora, longest_side, planned, same, seeds

STATUS = Path("/proc/self/status")


@contextmanager
def small(shard: int, window: int) -> Iterator[None]:
    """Shards of about so many pairs, in windows of so many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD", shard)
        patch.setattr(shards, "WINDOW", window)
        yield


def of_lengths(pairs: int, longest: int) -> Encoded:
    """Sentences of random lengths, all of the same token."""
    lengths = np.random.default_rng(0).integers(1, longest + 1, (2, pairs))
    tokens = np.zeros(int(lengths.sum(axis=1).max()), np.uint8)
    return Encoded(*(Sentences.laid(tokens, side) for side in lengths))


windows = st.integers(1, 5)
sizes = st.tuples(windows, st.integers(5, 12))


def plain_epoch(corpus: Encoded, max_tokens: int, seed: int, number: int) -> list[list[int]]:
    """Batches of a whole epoch at once, written anew: shuffle, divide, sort by length, cut, shuffle."""
    generator = np.random.default_rng([seed, number])
    order = generator.permutation(len(corpus)).tolist()
    count = max(1, round(sum(longest_side(corpus, pair) for pair in order) / (batching.POOL * max_tokens)))
    sizes = [len(order) // count + (place < len(order) % count) for place in range(count)]
    batches: list[list[int]] = []
    for size in sizes:
        pool, order = order[:size], order[size:]
        batch: list[int] = []
        for pair in sorted(pool, key=lambda pair: length_key(corpus, pair)):
            if batch and (len(batch) + 1) * longest_side(corpus, pair) > max_tokens:
                batches.append(batch)
                batch = []
            batch.append(pair)
        batches.append(batch)
    return [batches[index] for index in generator.permutation(len(batches))]


def length_key(corpus: Encoded, pair: int) -> tuple[int, int]:
    source, target = len(corpus.source(pair)), len(corpus.target(pair))
    longest = max(source, target)
    return longest, target - source if longest % 2 else source - target


@settings(deadline=None)
@given(corpora, st.integers(20, 200), seeds, st.integers(0, 3), st.integers(1, 3))
def test_a_corpus_in_one_shard_is_planned_as_a_whole(
    corpus: Encoded, max_tokens: int, seed: int, number: int, pool: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "POOL", pool)
        batches = Batches(corpus, max_tokens, seed)
        found = [batch.tolist() for batch in planned(batches, number)]
        assert batches.shards == 1
        assert found == plain_epoch(corpus, max_tokens, seed, number)


@given(st.integers(1, 300), sizes, seeds)
def test_every_pair_is_in_one_shard(pairs: int, size: tuple[int, int], seed: int) -> None:
    window, shard = size
    with small(shard, window):
        found = [shards.members(pairs, number, [seed]) for number in range(shards.count(pairs))]
    assert sorted(np.concatenate(found).tolist()) == list(range(pairs))
    assert all(0 < len(each) < shard + window for each in found)


@settings(deadline=None)
@given(corpora, budgets, seeds, st.integers(0, 3), sizes)
def test_an_epoch_of_shards_has_every_pair_once_within_the_budget(
    corpus: Encoded, max_tokens: int, seed: int, number: int, size: tuple[int, int]
) -> None:
    with small(size[1], size[0]):
        epoch = planned(Batches(corpus, max_tokens, seed), number)
        again = planned(Batches(corpus, max_tokens, seed), number)
    assert sorted(np.concatenate(epoch).tolist()) == list(range(len(corpus)))
    assert [batch.tolist() for batch in epoch] == [batch.tolist() for batch in again]
    for batch in epoch:
        assert len(batch) * max(longest_side(corpus, pair) for pair in batch) <= max_tokens or len(batch) == 1


@settings(deadline=None, max_examples=30)
@given(corpora, budgets, seeds, sizes, st.integers(2, 3))
def test_shards_are_left_and_taken_up_anywhere_and_dealt_out_to_ranks(
    corpus: Encoded, max_tokens: int, seed: int, size: tuple[int, int], world: int
) -> None:
    with small(size[1], size[0]):
        batches = Batches(corpus, max_tokens, seed)
        ends = np.cumsum([len(planned(batches, epoch)) for epoch in (0, 1)])
        whole = list(islice(batches.from_(Place()), int(ends[1])))
        for number, (_, place) in enumerate(whole[:-1], 1):
            assert (place.epoch, place.index) == ((0, number) if number < ends[0] else (1, number - ends[0]))
            batch, after = next(batches.from_(place))
            assert same(batch, whole[number][0])
            assert after == whole[number][1]
        start = len(whole) // 3
        place = whole[start - 1][1] if start else Place()
        ranks = [batches.from_(place, rank, world) for rank in range(world)]
        for turn in range(start, len(whole) - world, world):
            for offset, rank in enumerate(ranks):
                batch, after = next(rank)
                assert same(batch, whole[turn + offset][0])
                assert after == whole[turn + world - 1][1]


def test_going_on_plans_one_shard_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, asked = of_lengths(1000, 9), []
    with small(100, 10):
        batches = Batches(corpus, 100, 1)
        places = [place for _, place in islice(batches.from_(Place()), 60)]
        place = next(place for place in places if place.shard == 6)
        through = Batches.through

        def spy(self: Batches, *which: int) -> Any:
            asked.append(which)
            return through(self, *which)

        monkeypatch.setattr(Batches, "through", spy)
        next(batches.from_(place))
    assert asked == [(0, 6)]


def test_a_place_of_an_earlier_version_goes_on_in_the_same_epoch() -> None:
    """Where a whole epoch was planned at once, a place was an epoch and an index, maybe beyond the first shard."""
    with small(100, 10):
        batches = Batches(of_lengths(1000, 9), 100, 1)
        first = len(list(batches.through(2, 0)))
        for index in (3, first, 5 * first):
            stream = batches.from_(Place(**{"epoch": 2, "index": index}))
            places = [place for _, place in islice(stream, 600)]
            assert places[0] == (Place(2, 4) if index == 3 else Place(2, index + 1, 1, index))
            ended = [place.index for place in places].index(0)
            assert places[ended] == Place(3)
            assert [place.index for place in places[:ended]] == list(range(index + 1, index + ended + 1))


def test_shards_are_mixed_from_the_whole_corpus_and_anew_in_every_epoch() -> None:
    pairs = 40_000
    with small(4000, 20):
        dealt = [[shards.members(pairs, shard, [1, epoch]) for shard in range(10)] for epoch in (0, 1)]
        orders = {tuple(shards.generator(pairs, shard, [1, 0]).permutation(50)) for shard in range(10)}
    for shard in dealt[0]:
        tenths = np.bincount(shard * 10 // pairs, minlength=10) / len(shard)
        # 200 windows from ten tenths: 20 from each, give or take 4.
        assert 0.02 < tenths.min() < tenths.max() < 0.2
    shared = [len(np.intersect1d(one, other)) / len(one) for one, other in zip(*dealt, strict=True)]
    assert max(shared) < 0.25
    assert len(orders) == 10


def test_the_steps_of_an_epoch_of_shards_are_told_about_right() -> None:
    with small(5000, 100):
        batches = Batches(of_lengths(40_000, 30), 1000, 1)
        assert batches.steps_per_epoch() == pytest.approx(len(planned(batches, 0)), rel=0.02)


def peak_of_an_epoch(pairs: int) -> int:
    """Bytes that planning takes at its peak, in shards of 5,000 pairs."""
    corpus = of_lengths(pairs, 9)
    with small(5000, 100):
        tracemalloc.start()
        batches = Batches(corpus, 2000, 1)
        batches.steps_per_epoch()
        assert corpus.longest == 9
        assert next(place for _, place in batches.from_(Place()) if place.epoch).index == 0
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def test_memory_is_that_of_a_shard_however_large_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "CHUNK_LENGTHS", 5000)
    peaks = [peak_of_an_epoch(pairs) for pairs in (20_000, 200_000)]
    # Of the larger corpus, the lengths of one side alone would be 1.6 MB.
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 5000 * 8 * 20


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=20), st.integers(1, 5))
def test_the_longest_sentence_is_found_in_parts(rows: list[list[int]], chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoded, "CHUNK_LENGTHS", chunk)
        assert Sentences.of(rows).longest == max(map(len, rows))


def mapped_megabytes() -> int:
    """Memory of this process that files stand for."""
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if "RssFile" in line) >> 10


@pytest.mark.skipif(not STATUS.exists(), reason="Linux tells how much of a file is in memory")
def test_what_was_read_of_a_file_is_given_back(tmp_path: Path) -> None:
    values = np.arange(8 << 20)
    with columns.writing(tmp_path / "entry") as writer:
        writer.append("values", values)
        before = mapped_megabytes()
        found = writer.finish({}).arrays["values"]
    assert mapped_megabytes() - before < 8
    laid = Sentences(found, np.array([0, 1, len(found)]))
    assert laid.tokens.sum() == values.sum()
    assert mapped_megabytes() - before > 56
    Encoded(laid, Sentences.of([[1], [2]])).release()
    assert mapped_megabytes() - before < 8
    assert Sentences(values, found).longest == 1
    assert mapped_megabytes() - before < 8
    assert np.array_equal(found, values)
