"""Packed batches have every pair once, never overflow their rows, waste little, and hold the tokens of the corpus."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.data.batches import Batches, Place
from mtcli.data.encoded import Encoded
from mtcli.data.packing import Packing
from mtcli.layout import BOS, EOS, PAD, Batch
from mtcli.packing import Packed

LONGEST = 21
token_lists = st.lists(st.integers(4, 65_535), min_size=1, max_size=LONGEST - 1)
corpora = st.lists(st.tuples(token_lists, token_lists), min_size=1, max_size=60).map(
    lambda pairs: Encoded.of(*map(list, zip(*pairs, strict=True)))
)
budgets = st.integers(1, 200)


def sentences(row: torch.Tensor, rows: Packed) -> list[list[int]]:
    """What is in a row, sentence by sentence, by the starts."""
    edges = rows.starts.tolist()
    return [row[0, edges[i] : edges[i + 1]].tolist() for i in range(rows.sentences)]


@settings(deadline=None)
@given(corpora, budgets)
def test_a_packed_batch_has_what_its_pairs_have(corpus: Encoded, max_tokens: int) -> None:
    form = Packing.of(corpus, max_tokens, LONGEST)
    seen = []
    for pairs in form.batches(corpus, np.arange(len(corpus))):
        batch = form.assemble(corpus, pairs)
        assert batch.pairs == len(pairs)
        for side, row in ((batch.source_rows, batch.source), (batch.target_rows, batch.target_out)):
            assert isinstance(side, Packed)
            assert row.shape == (1, side.width)
            assert (row[0] != PAD).sum() == side.lengths.sum()
            columns = side.starts.diff()
            assert columns.sum() == side.width
            assert columns.max() <= side.longest == LONGEST
            assert (columns[: len(pairs)] == side.lengths[: len(pairs)]).all()
        # A sentence of padding must see something too, or attention would have nothing to normalise.
        both = [rows.starts.diff() > 0 for rows in (batch.source_rows, batch.target_rows) if isinstance(rows, Packed)]
        assert torch.equal(*both)
        for index, pair in enumerate(pairs):
            source, target = corpus.source(pair).tolist(), corpus.target(pair).tolist()
            assert sentences(batch.source, batch.source_rows)[index] == [*source, EOS]
            assert sentences(batch.target_in, batch.target_rows)[index] == [BOS, *target]
            assert sentences(batch.target_out, batch.target_rows)[index] == [*target, EOS]
        seen += pairs.tolist()
    assert seen == list(range(len(corpus)))


@settings(deadline=None, max_examples=30)
@given(corpora, budgets, st.integers(0, 99))
def test_all_batches_have_one_shape_and_an_epoch_all_pairs(corpus: Encoded, max_tokens: int, seed: int) -> None:
    batches = Batches(corpus, max_tokens, seed, Packing.of(corpus, max_tokens, LONGEST))
    assert sorted(np.concatenate([pairs for _, pairs in batches.through(0)]).tolist()) == list(range(len(corpus)))
    shapes = {shape(batch) for batch, _ in islice(batches.from_(Place()), 5)}
    assert len(shapes) == 1


def shape(batch: Batch) -> tuple[object, ...]:
    rows = batch.source_rows, batch.target_rows
    return (batch.source.shape, batch.target_in.shape, *(len(side.lengths) for side in rows))


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.4])
def test_little_is_wasted(ratio: float) -> None:
    """Lengths like those of translated talks: 25 tokens on average, and the two sides of a pair alike."""
    generator = np.random.default_rng(1)
    lengths = np.minimum(generator.gamma(2.0, 12.0, 20_000).astype(int) + 1, 250)
    others = np.maximum(1, lengths * ratio * generator.normal(1, 0.15, len(lengths))).astype(int).clip(1, 255)
    corpus = Encoded.of([[9] * n for n in lengths], [[9] * n for n in others])
    batches = Batches(corpus, 4096, 1, Packing.of(corpus, 4096, 256))
    made = [batch for batch, _ in islice(batches.from_(Place()), 50)]
    tokens = sum(batch.source_tokens + batch.target_tokens for batch in made)
    assert tokens / sum(batch.source.numel() + batch.target_in.numel() for batch in made) > 0.95
