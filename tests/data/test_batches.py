"""Every epoch has every pair once, in batches within the budget, in an order that can be left and taken up again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.data.batches import Batches, Place, assemble, in_order
from mtcli.data.corpus import Account, open_corpora
from mtcli.data.encoded import Encoded, encode
from mtcli.data.shards import Indices
from mtcli.data.tokenizer import train
from mtcli.layout import Batch, Rows
from mtcli.settings import TokenizerSettings

token_lists = st.lists(st.integers(4, 65_535), min_size=1, max_size=20)
corpora = st.lists(st.tuples(token_lists, token_lists), min_size=1, max_size=40).map(
    lambda pairs: Encoded.of(*map(list, zip(*pairs, strict=True)))
)
budgets = st.integers(1, 200)
seeds = st.integers(0, 2**32 - 1)


def planned(batches: Batches, epoch: int) -> list[Indices]:
    """The pairs of each batch of an epoch, shard by shard."""
    return [pairs for shard in range(batches.shards) for _, pairs in batches.through(epoch, shard)]


def same(first: Batch, second: Batch) -> bool:
    def parts(batch: Batch) -> list[torch.Tensor]:
        rows = [batch.source_rows, batch.target_rows]
        return [batch.source, batch.target_in, batch.target_out, *(r.lengths for r in rows)]

    widths = [(b.source_rows.width, b.target_rows.width) for b in (first, second)]
    pairs = zip(parts(first), parts(second), strict=True)
    return widths[0] == widths[1] and all(torch.equal(a, b) and a.dtype == b.dtype for a, b in pairs)


def longest_side(corpus: Encoded, pair: int) -> int:
    return max(len(corpus.source(pair)), len(corpus.target(pair))) + 1


def padded_share(batches: list[Batch]) -> float:
    def tokens(rows: Rows) -> int:
        return int(rows.lengths.sum())

    real = sum(tokens(batch.source_rows) + tokens(batch.target_rows) for batch in batches)
    return 1 - real / sum(batch.source.numel() + batch.target_in.numel() for batch in batches)


@settings(deadline=None)
@given(corpora, budgets, seeds, st.integers(0, 3))
def test_an_epoch_has_every_pair_once_and_keeps_to_the_budget(
    corpus: Encoded, max_tokens: int, seed: int, number: int
) -> None:
    batches = Batches(corpus, max_tokens, seed)
    epoch = planned(batches, number)
    assert sorted(np.concatenate(epoch).tolist()) == list(range(len(corpus)))
    for batch in epoch:
        assert len(batch) * max(longest_side(corpus, pair) for pair in batch) <= max_tokens or len(batch) == 1
    assert batches.steps_per_epoch(number) == len(epoch)


@settings(deadline=None)
@given(corpora, budgets, seeds, st.integers(0, 3))
def test_an_epoch_depends_on_seed_and_number_alone(corpus: Encoded, max_tokens: int, seed: int, number: int) -> None:
    fresh, used = Batches(corpus, max_tokens, seed), Batches(corpus, max_tokens, seed)
    for earlier in range(number):
        planned(used, earlier)
    assert [b.tolist() for b in planned(fresh, number)] == [b.tolist() for b in planned(used, number)]


def test_epochs_and_seeds_differ() -> None:
    corpus = Encoded.of([[4] * (i % 9 + 1) for i in range(200)], [[5] * (i % 7 + 1) for i in range(200)])
    orders = [
        json.dumps([b.tolist() for b in planned(Batches(corpus, 50, seed), number)])
        for seed in (1, 2)
        for number in (0, 1, 2)
    ]
    assert len(set(orders)) == 6
    # Not only the order of the batches: who is with whom changes too.
    mates = [frozenset(frozenset(b.tolist()) for b in planned(Batches(corpus, 50, 1), n)) for n in (0, 1)]
    assert len(mates[0] & mates[1]) < len(mates[0]) / 2


@settings(deadline=None)
@given(corpora, budgets, seeds)
def test_a_run_resumed_anywhere_sees_what_an_uninterrupted_one_sees(
    corpus: Encoded, max_tokens: int, seed: int
) -> None:
    length = 2 * Batches(corpus, max_tokens, seed).steps_per_epoch() + 1
    whole = list(islice(Batches(corpus, max_tokens, seed).from_(Place()), length))
    for done, (_, place) in enumerate(whole, 1):
        restored = Place(**json.loads(json.dumps(asdict(place))))
        rest = islice(Batches(corpus, max_tokens, seed).from_(restored), 3)
        for (batch, after), (expected, expected_after) in zip(rest, whole[done:], strict=False):
            assert same(batch, expected)
            assert after == expected_after


@settings(deadline=None)
@given(corpora, budgets)
def test_places_count_batches_and_epochs(corpus: Encoded, max_tokens: int) -> None:
    batches = Batches(corpus, max_tokens, 1)
    sizes = [batches.steps_per_epoch(number) for number in (0, 1)]
    places = [place for _, place in islice(batches.from_(Place()), sum(sizes))]
    expected = [Place(number, index) for number in (0, 1) for index in range(sizes[number])]
    assert places == [*expected[1:], Place(2, 0)]


@settings(deadline=None)
@given(corpora, st.data())
def test_assembled_batches_equal_the_plain_ones(corpus: Encoded, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.integers(0, len(corpus) - 1), min_size=1, max_size=10))
    sources, targets = ([side[pair].tolist() for pair in pairs] for side in (corpus.sources, corpus.targets))
    assert same(assemble(corpus, np.array(pairs)), Batch.of(sources, targets))


@settings(deadline=None)
@given(corpora, budgets)
def test_in_order_every_pair_comes_once_from_short_to_long(corpus: Encoded, max_tokens: int) -> None:
    batches = list(in_order(corpus, max_tokens))
    rows = [row for batch in batches for row in zip(batch.source.tolist(), batch.target_out.tolist(), strict=True)]
    stripped = [([t for t in source if t > 3], [t for t in target if t > 3]) for source, target in rows]
    pairs = [(corpus.source(i).tolist(), corpus.target(i).tolist()) for i in range(len(corpus))]
    assert sorted(stripped) == sorted(pairs)
    longest = [max(len(source), len(target)) for source, target in stripped]
    assert longest == sorted(longest)
    for batch in batches:
        widest = max(batch.source.shape[1], batch.target_in.shape[1])
        assert len(batch.source) * widest <= max_tokens or len(batch.source) == 1
    assert all(same(first, second) for first, second in zip(batches, in_order(corpus, max_tokens), strict=True))


def test_a_batch_is_as_large_as_the_budget_allows() -> None:
    corpus = Encoded.of([[4] * 9] * 100, [[5] * 4] * 100)
    assert [len(batch) for batch in planned(Batches(corpus, 100, 1), 0)] == [10] * 10
    assert [len(batch) for batch in planned(Batches(corpus, 9, 1), 0)] == [1] * 100


def test_a_long_epoch_mixes_lengths_from_batch_to_batch() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 5000)
    corpus = Encoded.of([[4] * n for n in lengths], [[5] * n for n in lengths])
    epoch = planned(Batches(corpus, 500, 1), 0)
    means = np.array([lengths[batch].mean() for batch in epoch])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2


@pytest.mark.corpora
@pytest.mark.slow
@pytest.mark.parametrize("max_tokens", [2048, 4096])
def test_little_of_a_real_corpus_is_padding(max_tokens: int, tmp_path: Path) -> None:
    beside = Path(__file__).parents[2] / ".." / "shared" / "corpora"
    folder = Path(os.environ.get("MTCLI_CORPORA", beside)) / "multi30k"
    if not folder.exists():
        pytest.skip("no corpora here")
    opened = open_corpora([str(folder / "train")], "en", "de")
    tokenizer = train(opened[0].pairs(Account()), TokenizerSettings(), tmp_path / "tokenizer").tokenizer
    corpus = encode(opened, tokenizer, 256, tmp_path / "cache", Account())
    batches = Batches(corpus, max_tokens, 1)
    assert padded_share([assemble(corpus, pairs) for pairs in planned(batches, 0)]) < 0.05
