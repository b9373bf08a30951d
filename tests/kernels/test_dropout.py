"""Dropout keeps the right share, scales it, passes gradients where it kept, and follows the seed."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from mtcli.kernels.dropout import dropout, plain_dropout

LARGE = 200_000
DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def thinned(p: float, shape: tuple[int, ...] = (LARGE,), seed: int = 1, function: object = dropout) -> Tensor:
    torch.manual_seed(seed)
    assert callable(function)
    result: Tensor = function(torch.ones(shape), p)
    return result


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9, 0.99])
def test_the_share_kept_is_binomial(p: float) -> None:
    kept = int(thinned(p).count_nonzero())
    assert stats.binomtest(kept, LARGE, 1 - p).pvalue > 1e-4


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_neighbours_are_independent(p: float) -> None:
    """Four draws share one 64-bit word; none may tell about the next."""
    kept = (thinned(p) != 0).view(-1, 4).float()
    correlation = torch.corrcoef(kept.T) - torch.eye(4)
    assert correlation.abs().max() < 5 / (LARGE / 4) ** 0.5
    assert stats.chisquare(kept.sum(0).numpy()).pvalue > 1e-4


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_twin_has_the_same_distribution(p: float) -> None:
    counts = [int(thinned(p, function=function).count_nonzero()) for function in (dropout, plain_dropout)]
    table = [[kept, LARGE - kept] for kept in counts]
    assert stats.chi2_contingency(table).pvalue > 1e-4
    values = [sorted(set(thinned(p, function=function).tolist())) for function in (dropout, plain_dropout)]
    assert values[0] == pytest.approx(values[1], rel=2e-4)  # p is met to the nearest 2^-16


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_the_mean_is_kept(p: float) -> None:
    kept_value = thinned(p).max().item()
    assert kept_value == pytest.approx(1 / (1 - p), rel=2e-4)
    error = (p / (1 - p) / LARGE) ** 0.5
    assert thinned(p).double().mean().item() == pytest.approx(1, abs=5 * error)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_passes_where_the_element_was_kept(dtype: torch.dtype) -> None:
    x = (torch.rand(37, 11, dtype=torch.float64) + 1).to(dtype).requires_grad_()
    y = dropout(x, 0.4)
    y.backward(torch.full_like(y, 2.0))  # type: ignore[no-untyped-call]
    assert y.dtype == dtype
    assert x.grad is not None
    assert torch.equal(x.grad != 0, y != 0)
    kept = y != 0
    torch.testing.assert_close(x.grad[kept] * x[kept], 2 * y[kept])


def test_gradient_by_finite_differences() -> None:
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)

    def seeded(values: Tensor) -> Tensor:
        torch.manual_seed(3)
        return dropout(values, 0.5)

    assert torch.autograd.gradcheck(seeded, x)


@pytest.mark.parametrize("shape", [(0,), (1,), (3,), (5, 0, 2), (2, 3, 5), ()])
def test_every_shape(shape: tuple[int, ...]) -> None:
    assert thinned(0.5, shape).shape == shape


def test_a_strided_input_is_read_where_its_elements_are() -> None:
    x = torch.arange(1.0, 13).view(3, 4).t()
    y = dropout(x, 0.5)
    assert torch.equal(y[y != 0], 2 * x[y != 0])


def test_nothing_is_dropped_at_zero() -> None:
    x = torch.randn(100)
    assert torch.equal(dropout(x, 0.0), x)


@pytest.mark.parametrize("p", [0.99999, 0.999999, 1 - 1e-12])
def test_almost_everything_may_be_dropped(p: float) -> None:
    """The settings allow every share below 1; the nearest 2^-16 to it may be 1."""
    y = thinned(p, (1000,))
    assert y.isfinite().all()
    assert y.count_nonzero() < 5


def test_the_seed_decides() -> None:
    assert torch.equal(thinned(0.5, (1000,)), thinned(0.5, (1000,)))
    assert not torch.equal(thinned(0.5, (1000,)), thinned(0.5, (1000,), seed=2))


def test_every_call_draws_anew_and_moves_the_generator_alike() -> None:
    torch.manual_seed(1)
    first, second = dropout(torch.ones(1000), 0.5), dropout(torch.ones(1000), 0.5)
    assert not torch.equal(first, second)


def test_the_input_is_left_alone() -> None:
    x = torch.ones(100)
    dropout(x, 0.5)
    assert torch.equal(x, torch.ones(100))
