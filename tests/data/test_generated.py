"""Generated pairs have the lengths and the tokens that they are said to have."""

from __future__ import annotations

import numpy as np
import pytest

from mtcli.data.generated import MEAN, SCATTER, SHAPE, generate
from mtcli.layout import EOS

SIZES = (4000, 300)


def test_lengths_are_distributed_as_stated() -> None:
    corpus = generate(20_000, *SIZES, 10_000, seed=1)
    source, target = corpus.sources.lengths, corpus.targets.lengths
    assert len(corpus) == len(target) == 20_000
    assert source.mean() == pytest.approx(MEAN, rel=0.02)
    assert source.std() == pytest.approx(MEAN / SHAPE**0.5, rel=0.03)
    long = source > MEAN  # where rounding changes little
    ratios = np.log(target[long] / source[long])
    assert abs(ratios.mean()) < 0.01
    assert ratios.std() == pytest.approx(SCATTER, rel=0.05)


@pytest.mark.parametrize("longest", [1, 10, 256])
def test_no_side_is_empty_or_too_long(longest: int) -> None:
    corpus = generate(3000, *SIZES, longest, seed=1)
    for lengths in (corpus.sources.lengths, corpus.targets.lengths):
        assert lengths.min() == 1
        assert lengths.max() <= longest


@pytest.mark.parametrize("size", [5, 6, 300, 70_000])
def test_tokens_are_those_of_words_and_the_lower_the_likelier(size: int) -> None:
    corpus = generate(4000, size, size, 256, seed=1)
    tokens = np.asarray(corpus.sources.tokens, np.int64)
    assert tokens.min() == EOS + 1
    assert tokens.max() < size
    ranks = np.arange(1, size - EOS)
    halves = np.log1p(ranks) / np.log(size - EOS)  # the share of tokens up to each rank
    found = np.array([(tokens <= EOS + rank).mean() for rank in ranks[:20]])
    np.testing.assert_allclose(found, halves[:20], atol=0.01)


def test_the_seed_decides() -> None:
    one, same, other = (generate(50, *SIZES, 99, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.sources.tokens, same.sources.tokens)
    assert np.array_equal(one.targets.lengths, same.targets.lengths)
    assert not np.array_equal(one.targets.lengths, other.targets.lengths)
