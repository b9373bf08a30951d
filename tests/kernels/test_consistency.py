"""The chunked loss of two readouts equals its plain twin and the formulas, gradients through both divergences too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mtcli.kernels import cross_entropy
from mtcli.kernels.consistency import Shares, consistent_cross_entropy, plain_consistent_cross_entropy
from mtcli.kernels.cross_entropy import smoothed_cross_entropy
from mtcli.layout import PAD

TOLERANCE = {torch.float64: 1e-11, torch.float32: 5e-5}
R_DROP, SIMCUT, ALL = Shares(0.5, 0.5, 1.25, 1.25), Shares(1, 0, 3, 0), Shares(0.7, 0.2, 1.1, 0.4)


@pytest.fixture(autouse=True)
def chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of three tokens."""
    monkeypatch.setitem(cross_entropy.CHUNK, "cpu", 6)


def problem(n: int, v: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n * 1000 + v)
    one, other, weight = (
        torch.randn(rows, 6, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for rows in (n, n, v)
    )
    return one, other, weight, torch.randint(1, v, (n,), generator=generator)


def outcome(function: Any, given: tuple[Tensor, ...], smoothing: float, shares: Shares) -> list[Tensor]:
    """The values, and the gradients when the loss is multiplied by 3."""
    total, entropy = function(*given, smoothing, shares)
    assert not entropy.requires_grad
    return [total.detach(), entropy, *torch.autograd.grad(total * 3, given[:3])]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shares", [R_DROP, SIMCUT, ALL])
@pytest.mark.parametrize(("n", "v", "smoothing"), [(0, 7, 0.1), (1, 7, 0.0), (3, 5, 0.5), (8, 2, 0.1), (13, 40, 0.1)])
def test_equals_the_plain_twin(n: int, v: int, smoothing: float, shares: Shares, dtype: torch.dtype) -> None:
    given = problem(n, v, dtype)
    found = outcome(consistent_cross_entropy, given, smoothing, shares)
    expected = outcome(plain_consistent_cross_entropy, given, smoothing, shares)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("shares", [R_DROP, SIMCUT, ALL])
def test_padding_has_no_loss_and_no_gradient(shares: Shares) -> None:
    one, other, weight, target = problem(13, 9)
    real = torch.arange(13) % 3 > 0
    found = outcome(consistent_cross_entropy, (one, other, weight, target.masked_fill(~real, PAD)), 0.1, shares)
    kept = [x[real].detach().requires_grad_() for x in (one, other)]
    expected = outcome(consistent_cross_entropy, (*kept, weight, target[real]), 0.1, shares)
    for place in (2, 3):
        assert not found[place][~real].any()
        found[place] = found[place][real]
    torch.testing.assert_close(found, expected)


def test_divergences_are_those_of_the_textbook() -> None:
    one, other, weight, target = problem(7, 9)
    p, q = ((x @ weight.T).softmax(-1).detach().numpy() for x in (one, other))
    forth, back = float((p * np.log(p / q)).sum()), float((q * np.log(q / p)).sum())
    assert forth != pytest.approx(back, rel=0.01)
    for shares, expected in ((Shares(0, 0, 1, 0), forth), (Shares(0, 0, 0, 1), back)):
        found, entropy = consistent_cross_entropy(one, other, weight, target, 0.1, shares)
        assert found.item() == pytest.approx(expected, rel=1e-12)
        assert entropy == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equal_readouts_have_the_usual_loss(smoothing: float) -> None:
    one, _, weight, target = problem(7, 9)
    usual = smoothed_cross_entropy(one, weight, target, smoothing)
    found, entropy = consistent_cross_entropy(one, one, weight, target, smoothing, R_DROP)
    torch.testing.assert_close(found, usual)
    torch.testing.assert_close(entropy, usual.detach())
    for ours, theirs in zip(
        torch.autograd.grad(found, (one, weight)), torch.autograd.grad(usual, (one, weight)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_products_follow_autocast_and_sums_are_wide() -> None:
    one, other, weight, target = problem(50, 300, torch.float32)
    exact, _ = consistent_cross_entropy(one, other, weight, target, 0.1, R_DROP)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = consistent_cross_entropy(one, other, weight, target, 0.1, R_DROP)
    assert rounded.dtype == torch.float32
    assert 0 < abs(rounded.item() - exact.item()) < 0.01 * exact.item()
    assert all(x.dtype == torch.float32 for x in torch.autograd.grad(rounded, (one, other, weight)))


def test_without_gradients_none_are_computed() -> None:
    one, other, weight, target = problem(7, 9)
    expected = consistent_cross_entropy(one, other, weight, target, 0.1, ALL)
    with torch.no_grad():
        found = consistent_cross_entropy(one, other, weight, target, 0.1, ALL)
    assert [x.item() for x in found] == [x.item() for x in expected]
    assert not any(x.requires_grad for x in found)
