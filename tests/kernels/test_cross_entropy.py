"""The chunked cross-entropy equals its plain twin and the formula of the paper, and never holds all logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mtcli.kernels import cross_entropy
from mtcli.kernels.cross_entropy import plain_smoothed_cross_entropy, smoothed_cross_entropy
from mtcli.layout import PAD

PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.matmul)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}


@pytest.fixture
def chunk(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Chunks of five tokens."""
    monkeypatch.setitem(cross_entropy.CHUNK, "cpu", 5)
    return 5


def problem(n: int, v: int, dtype: torch.dtype = torch.float64, m: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n * 1000 + v)
    hidden = torch.randn(n, m, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(v, m, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(1, v, (n,), generator=generator)


def outcome(function: Any, hidden: Tensor, weight: Tensor, target: Tensor, smoothing: float) -> list[Tensor]:
    """The value, and the gradients when the value is multiplied by 3."""
    total = function(hidden, weight, target, smoothing)
    return [total.detach(), *torch.autograd.grad(total * 3, (hidden, weight))]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize(("n", "v"), [(0, 7), (1, 7), (5, 7), (13, 7), (10, 2), (23, 40)])
def test_equals_the_plain_twin(n: int, v: int, smoothing: float, dtype: torch.dtype, chunk: int) -> None:
    given_ = problem(n, v, dtype)
    found = outcome(smoothed_cross_entropy, *given_, smoothing)
    expected = outcome(plain_smoothed_cross_entropy, *given_, smoothing)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@given(n=st.integers(1, 12), v=st.integers(2, 9), smoothing=st.floats(0, 0.99))
@settings(max_examples=30, deadline=None)
def test_is_the_cross_entropy_with_the_smoothed_distribution(n: int, v: int, smoothing: float) -> None:
    """Szegedy et al. 2016, section 7: the target is (1 - e) onehot + e uniform."""
    hidden, weight, target = problem(n, v)
    total = smoothed_cross_entropy(hidden, weight, target, smoothing).item()
    naive = 0.0
    for row in range(n):
        probability = torch.softmax(weight.detach() @ hidden.detach()[row], 0)
        wanted = torch.full((v,), smoothing / v, dtype=torch.float64)
        wanted[target[row]] += 1 - smoothing
        naive -= (wanted * probability.log()).sum().item()
    assert total == pytest.approx(naive, rel=1e-10)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_gradient_by_finite_differences(smoothing: float, chunk: int) -> None:
    hidden, weight, target = problem(7, 4, m=3)
    assert torch.autograd.gradcheck(lambda h, w: smoothed_cross_entropy(h, w, target, smoothing), (hidden, weight))


@pytest.mark.parametrize("learns", [(True, False), (False, True)])
def test_only_one_side_learns(learns: tuple[bool, bool], chunk: int) -> None:
    hidden, weight, target = problem(13, 7)
    both = outcome(smoothed_cross_entropy, hidden, weight, target, 0.1)[1:]
    sides = [side.detach().requires_grad_(learn) for side, learn in zip((hidden, weight), learns, strict=True)]
    (smoothed_cross_entropy(*sides, target, 0.1) * 3).backward()  # type: ignore[no-untyped-call]
    for side, learn, gradient in zip(sides, learns, both, strict=True):
        assert (side.grad is not None) == learn
        if learn:
            torch.testing.assert_close(side.grad, gradient)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_it_is_the_same_value_and_computes_none(mode: Any, chunk: int) -> None:
    hidden, weight, target = problem(13, 7)
    expected = smoothed_cross_entropy(hidden, weight, target, 0.1).detach()
    with mode(), Products() as counted:
        total = smoothed_cross_entropy(hidden, weight, target, 0.1)
    assert torch.equal(total, expected)
    assert not total.requires_grad
    assert counted.products == 3, "one product per chunk of five: the logits"


def test_nothing_as_large_as_all_logits_is_ever_made(chunk: int) -> None:
    n, v = 60, 50
    hidden, weight, target = problem(n, v)
    with Products() as ours:
        outcome(smoothed_cross_entropy, hidden, weight, target, 0.1)
    with Products() as theirs:
        outcome(plain_smoothed_cross_entropy, hidden, weight, target, 0.1)
    assert theirs.largest >= n * v
    assert ours.largest <= max(hidden.numel(), weight.numel(), chunk * v)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_padding_has_no_loss_and_no_gradient(smoothing: float, chunk: int) -> None:
    hidden, weight, target = problem(13, 7)
    real = torch.arange(13) % 3 > 0
    total, by_hidden, by_weight = outcome(
        smoothed_cross_entropy, hidden, weight, target.masked_fill(~real, PAD), smoothing
    )
    kept = hidden[real].detach().requires_grad_()
    expected, by_kept, by_weight_alone = outcome(smoothed_cross_entropy, kept, weight, target[real], smoothing)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(by_weight, by_weight_alone)
    torch.testing.assert_close(by_hidden[real], by_kept)
    assert not by_hidden[~real].any()


@pytest.mark.parametrize("size", [1, 2, 7, 12, 13, 14, 1000])
def test_chunks_do_not_matter(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given_ = problem(13, 7)
    expected = outcome(smoothed_cross_entropy, *given_, 0.1)
    monkeypatch.setitem(cross_entropy.CHUNK, "cpu", size)
    for ours, whole in zip(outcome(smoothed_cross_entropy, *given_, 0.1), expected, strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-12, atol=1e-12)


def test_large_logits_stay_finite() -> None:
    hidden, weight, target = problem(6, 5, torch.float32)
    with torch.no_grad():
        hidden *= 1e4
    assert all(bool(part.isfinite().all()) for part in outcome(smoothed_cross_entropy, hidden, weight, target, 0.1))


def test_second_derivatives_are_refused_rather_than_wrong() -> None:
    hidden, weight, target = problem(3, 4)
    (gradient,) = torch.autograd.grad(smoothed_cross_entropy(hidden, weight, target, 0.1), hidden, create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiable|does not require grad"):
        torch.autograd.grad(gradient.sum(), weight)


class Products(TorchDispatchMode):
    """Counts matrix products, and remembers the most elements that any operation's result had."""

    def __init__(self) -> None:
        super().__init__()
        self.products = 0
        self.largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.products += function.overloadpacket in PRODUCTS
        if isinstance(result, Tensor):
            self.largest = max(self.largest, result.numel())
        return result
