"""Filters against naive loops in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtcli.decoding.filters import epsilon_cutoff, log_probs_of, min_p, precise, temperature, top_k, top_p
from mtcli.layout import BOS, PAD, UNK

NONE = float("-inf")

numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-20, 20, width=32), st.just(NONE))
"""Often equal, sometimes impossible."""
rows = st.integers(2, 9).flatmap(
    lambda v: st.lists(
        st.lists(numbers, min_size=v, max_size=v).filter(lambda row: max(row) > NONE), min_size=1, max_size=4
    )
)


def naive_best(row: np.ndarray, k: int) -> list[int]:
    return sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]


@given(rows, st.integers(1, 10))
def test_top_k_keeps_exactly_the_k_best(values, k):
    logits = torch.tensor(values)
    for row, filtered in zip(logits.numpy(), top_k(logits, k).numpy(), strict=True):
        kept = naive_best(row, k)
        assert filtered.tolist() == [row[i] if i in kept else NONE for i in range(len(row))]


@given(rows, st.sampled_from([0.01, 0.3, 0.5, 0.75, 0.999]))
def test_top_p_keeps_the_smallest_set_that_suffices(values, p):
    logits = torch.tensor(values, dtype=torch.float64)
    for row, filtered in zip(logits.numpy(), top_p(logits, p).numpy(), strict=True):
        probs = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        order = naive_best(row, len(row))
        sums = [probs[order[: n + 1]].sum() for n in range(len(row))]
        kept = order[: next(n for n, total in enumerate(sums) if total >= p) + 1]
        if min(abs(total - p) for total in sums) > 1e-9:  # else rounding decides
            assert filtered.tolist() == [row[i] if i in kept else NONE for i in range(len(row))]


def test_top_p_takes_no_token_beyond_the_exact_probability():
    logits = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    assert (top_p(logits, 0.75) > NONE).tolist() == [[True, True, False, False]]
    assert (top_p(logits, 1e-60) > NONE).tolist() == [[True, False, False, False]]


def softmax(row: np.ndarray) -> np.ndarray:
    return np.exp(row - row.max()) / np.exp(row - row.max()).sum()


@given(rows, st.sampled_from([0.01, 0.1, 0.4, 0.9]))
def test_min_p_keeps_what_is_likely_beside_the_likeliest(values, share):
    logits = torch.tensor(values, dtype=torch.float64)
    for row, filtered in zip(logits.numpy(), min_p(logits, share).numpy(), strict=True):
        probs = softmax(row)
        if np.abs(probs - share * probs.max()).min() > 1e-9:  # else rounding decides
            kept = probs >= share * probs.max()
            assert filtered.tolist() == [x if keep else NONE for x, keep in zip(row, kept, strict=True)]


@given(rows, st.sampled_from([0.0009, 0.02, 0.3, 0.9]))
def test_epsilon_keeps_what_is_likely_or_else_the_best(values, epsilon):
    logits = torch.tensor(values, dtype=torch.float64)
    for row, filtered in zip(logits.numpy(), epsilon_cutoff(logits, epsilon).numpy(), strict=True):
        probs = softmax(row)
        if np.abs(probs - epsilon).min() > 1e-9:
            kept = (probs > epsilon) if (probs > epsilon).any() else np.arange(len(row)) == naive_best(row, 1)[0]
            assert filtered.tolist() == [x if keep else NONE for x, keep in zip(row, kept, strict=True)]


@given(rows, st.sampled_from([0.1, 0.5, 1.0]))
def test_relative_filters_keep_the_best_and_never_revive(values, share):
    logits = torch.tensor(values)
    for change in (min_p, top_p, epsilon_cutoff):
        filtered = change(logits, share)
        assert torch.equal(filtered.amax(-1), logits.amax(-1))
        assert torch.equal(filtered, torch.where(filtered > NONE, logits, NONE))


@given(rows, st.floats(0.05, 20))
def test_temperature_gives_the_distribution_of_divided_logits(values, value):
    logits = torch.tensor(values, dtype=torch.float64)
    assert torch.allclose(temperature(logits, value).softmax(-1), (logits / value).softmax(-1))


def test_the_smallest_temperature_takes_the_best():
    logits = torch.tensor([[1.0, 3.0, 2.0, NONE]])
    assert temperature(logits, 1e-300).softmax(-1).tolist() == [[0, 1, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tokens_that_no_translation_contains_are_impossible_and_keep_their_share(dtype):
    logits = torch.randn(3, 7).to(dtype)
    found = log_probs_of(logits)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    for row, log_probs in zip(logits.tolist(), found.tolist(), strict=True):
        total = math.log(sum(math.exp(x) for x in row))
        expected = [NONE if i in (PAD, BOS, UNK) else x - total for i, x in enumerate(row)]
        assert log_probs == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("change", [log_probs_of, lambda x: temperature(x, 0.5), lambda x: top_k(x, 2)])
def test_the_argument_stays_as_it_was(change):
    logits = torch.randn(2, 5)
    before = logits.clone()
    change(logits), top_p(logits, 0.5), min_p(logits, 0.9), epsilon_cutoff(logits, 0.5)
    assert torch.equal(logits, before)


@pytest.mark.parametrize(
    ("given_dtype", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)],
)
def test_probabilities_need_fp32_at_least(given_dtype, expected):
    assert precise(torch.zeros(1, 1, dtype=given_dtype)).dtype == expected
