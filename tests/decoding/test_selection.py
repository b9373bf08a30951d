"""The choice of the best against sorted lists, in small vocabularies and in large ones, searched block by block."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from mtcli.decoding.selection import BLOCK, among_best, best, best_continuations, likeliest

NONE = float("-inf")

numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-20, 20, width=32), st.just(NONE))
"""Often equal, sometimes impossible."""
rows = st.integers(2, 9).flatmap(
    lambda v: st.lists(
        st.lists(numbers, min_size=v, max_size=v).filter(lambda row: max(row) > NONE), min_size=1, max_size=4
    )
)
seeds = st.integers(0, 2**31)
distinct = st.sampled_from([1, 2, 5, 1000, 10**6])
"""How many values there are: with few of them nearly all are equal, within blocks, across them, and behind them."""


def naive_best(row: np.ndarray | list[float], k: int) -> list[int]:
    return sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]


def naive_continuations(log_probs: Tensor, before: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` best of all sums, of equal ones those in lower places."""
    sums = (before[:, :, None] + log_probs.to(before.dtype)).flatten(1)
    places = torch.tensor([naive_best(row, k) for row in sums.tolist()])
    return sums.gather(1, places), places


def values(seed: int, shape: tuple[int, ...], distinct: int, impossible: float = 0.0) -> Tensor:
    """Negative numbers, a part of them impossible."""
    generator = torch.Generator().manual_seed(seed)
    drawn = -torch.randint(0, distinct, shape, generator=generator).float() / distinct
    return drawn.masked_fill(torch.rand(shape, generator=generator) < impossible, NONE)


@given(rows, st.integers(1, 10))
def test_exactly_the_k_best_are_among_the_best(rows: list[list[float]], k: int) -> None:
    logits = torch.tensor(rows)
    k = min(k, logits.shape[1])
    found = [row.nonzero().flatten().tolist() for row in among_best(logits, k)]
    assert found == [sorted(naive_best(row, k)) for row in rows]


@given(rows, st.integers(1, 10))
def test_the_best_come_in_order_and_equals_by_column(rows: list[list[float]], k: int) -> None:
    logits = torch.tensor(rows)
    found, columns = best(logits, k)
    assert columns.tolist() == [naive_best(row, k) for row in rows]
    assert torch.equal(found, logits.gather(1, columns))


@given(st.integers(1, 12), seeds, distinct)
def test_the_best_of_a_large_vocabulary(k: int, seed: int, distinct: int) -> None:
    logits = values(seed, (3, 5 * BLOCK + 7), distinct)
    found, columns = best(logits, k)
    assert columns.tolist() == [naive_best(row, k) for row in logits.tolist()]
    assert torch.equal(found, logits.gather(1, columns))


sizes = st.one_of(
    st.integers(1, BLOCK - 1), st.sampled_from([BLOCK, 2 * BLOCK, 7 * BLOCK]), st.integers(BLOCK + 1, 5 * BLOCK)
)


@given(sizes, seeds, distinct, st.sampled_from([0.0, 0.9]))
@example(1, 0, 1, 0.0)
def test_the_likeliest_is_the_first_of_the_largest(size: int, seed: int, distinct: int, impossible: float) -> None:
    log_probs = values(seed, (4, size), distinct, impossible)
    assert likeliest(log_probs).tolist() == [row.index(max(row)) for row in log_probs.tolist()]


@pytest.mark.parametrize("size", [3, BLOCK, 3 * BLOCK, 3 * BLOCK + 5])
def test_the_likeliest_where_all_is_impossible_is_the_first(size: int) -> None:
    assert likeliest(torch.full((2, size), NONE)).tolist() == [0, 0]


@pytest.mark.parametrize(
    "places", [(BLOCK - 1, BLOCK), (0, 3 * BLOCK), (2 * BLOCK, 3 * BLOCK), (3 * BLOCK, 3 * BLOCK + 4)]
)
def test_the_likeliest_of_two_at_the_border_of_blocks_is_the_first(places: tuple[int, int]) -> None:
    log_probs = torch.full((1, 3 * BLOCK + 5), -1.0)
    log_probs[0, list(places)] = -0.5
    assert likeliest(log_probs).tolist() == [places[0]]


wide = st.tuples(st.integers(1, 3), st.sampled_from([0, 0, 1, 13, BLOCK - 1]), st.integers(0, 2))
"""`k`; the columns behind the whole blocks; how many blocks there are beyond the fewest that are compared first."""


@given(wide, st.integers(1, 3), seeds, distinct, st.sampled_from([0.0, 0.5, 0.99]))
def test_continuations_are_those_of_a_sorted_list(
    shape: tuple[int, int, int], width: int, seed: int, distinct: int, impossible: float
) -> None:
    k, behind, more = shape
    log_probs = values(seed, (2, width, (4 * k + more) * BLOCK + behind), distinct, impossible)
    same(log_probs, values(seed + 1, (2, width), distinct).double(), k)


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 200), seeds, distinct)
def test_continuations_in_a_small_vocabulary(k: int, width: int, size: int, seed: int, distinct: int) -> None:
    log_probs = values(seed, (2, width, size), distinct)
    same(log_probs, values(seed + 1, (2, width), distinct).double(), min(k, width * size))


def same(log_probs: Tensor, before: Tensor, k: int) -> None:
    """Exactly the sorted list, ties and impossible ones included."""
    arguments = log_probs.clone(), before.clone()
    found = best_continuations(log_probs, before, k)
    expected = naive_continuations(log_probs, before, k)
    assert [x.dtype for x in found] == [before.dtype, torch.int64]
    assert found[0].tolist() == expected[0].tolist()
    assert found[1].tolist() == expected[1].tolist()
    assert all(map(torch.equal, arguments, (log_probs, before)))


SIZE = 16 * BLOCK + 9
TIES = {
    "none": [(0, 5), (1, 3 * BLOCK), (1, 7)],
    "within a block": [(0, 5), (0, 6), (0, 9), (0, 4), (0, 60), (0, 61)],
    "within a row": [(1, 5), (1, 3 * BLOCK), (1, 7 * BLOCK + 1), (1, 12), (1, 15 * BLOCK)],
    "across rows": [(0, 700), (1, 3), (1, 700), (0, 3), (0, 1000)],
    "at the border of blocks": [(0, BLOCK - 1), (0, BLOCK), (0, 2 * BLOCK - 1), (0, 2 * BLOCK), (0, 3 * BLOCK)],
    "behind the blocks": [(0, 16 * BLOCK), (0, SIZE - 1), (1, SIZE - 1), (1, 16 * BLOCK - 1), (0, 2)],
}


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("raised", [0, 1])
def test_equal_sums_come_in_the_order_of_places(ties: str, raised: int) -> None:
    """The equal ones alone on top, or below a single better one; there are more of them than are asked for."""
    log_probs = values(1, (1, 2, SIZE), 10**6) - 5
    for row, column in TIES[ties]:
        log_probs[0, row, column] = -1
    log_probs[0, 1, 8 * BLOCK : 8 * BLOCK + raised] = -0.5
    for k in range(1, 5):
        same(log_probs, torch.tensor([[-3.0, -3.0]], dtype=torch.float64), k)


def test_rows_of_no_hypothesis_come_last() -> None:
    """The first step of beam search: one hypothesis, and empty places beside it."""
    log_probs = values(3, (2, 4, SIZE), 10**6)
    before = torch.tensor([[0, NONE, NONE, NONE]] * 2, dtype=torch.float64)
    same(log_probs, before, 4)
    _, places = best_continuations(log_probs, before, 4)
    assert (places < SIZE).all()


def test_sentences_with_and_without_ties_do_not_disturb_each_other() -> None:
    log_probs = torch.cat(
        (values(5, (1, 2, SIZE), 10**6), values(5, (1, 2, SIZE), 2), values(6, (1, 2, SIZE), 10**6))
    )
    same(log_probs, values(7, (3, 2), 10**6).double(), 3)


def test_sums_have_the_precision_of_what_came_before() -> None:
    """In fp32 both sums would be -1000, and the first place would win."""
    log_probs = torch.full((1, 2, SIZE), -50.0)
    log_probs[0, 0, 3], log_probs[0, 1, 9] = -2e-6, -1e-6
    sums, places = best_continuations(log_probs, torch.full((1, 2), -1000.0, dtype=torch.float64), 2)
    assert places.tolist() == [[SIZE + 9, 3]]
    assert sums[0, 0] > sums[0, 1]
