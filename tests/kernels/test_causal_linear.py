"""The chunked causal product equals its plain twin and a running sum, bit for bit blind to later tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mtcli.kernels import causal_linear
from mtcli.kernels.causal_linear import causal_product, plain_causal_product
from tests.model.attention.heads import Largest

CHUNK = causal_linear.CHUNK
EDGES = [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 300]


def problem(tokens: int, dtype: torch.dtype = torch.float64, width: int = 5) -> list[Tensor]:
    """Query, key and value, and what the result's gradient will be."""
    generator = torch.Generator().manual_seed(tokens)
    shapes = [(2, 3, tokens, each) for each in (4, 4, width, width)]
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return [*(each.requires_grad_() for each in drawn[:3]), drawn[3]]


def outcome(function: Any, query: Tensor, key: Tensor, value: Tensor, gradient: Tensor) -> list[Tensor]:
    result = function(query, key, value)
    return [result.detach(), *torch.autograd.grad((result * gradient).sum(), (query, key, value))]


def running_sum(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Katharopoulos et al. 2020, section 3.3: token by token, with the sum over all tokens so far."""
    total = torch.zeros(*key.shape[:2], key.shape[3], value.shape[3], dtype=key.dtype)
    mixed = []
    for place in range(key.shape[2]):
        total = total + key[:, :, place, :, None] * value[:, :, place, None, :]
        mixed.append((query[:, :, place, :, None] * total).sum(2))
    return torch.stack(mixed, 2)


def test_equals_the_twin_at_every_length() -> None:
    for tokens in range(1, 301):
        given = [x[:1, :1] for x in problem(tokens)]
        for ours, theirs in zip(outcome(causal_product, *given), outcome(plain_causal_product, *given), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("tokens", EDGES)
@pytest.mark.parametrize("function", [causal_product, plain_causal_product])
def test_both_are_the_running_sum(function: Any, tokens: int) -> None:
    given = problem(tokens)
    for ours, theirs in zip(outcome(function, *given), outcome(running_sum, *given), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)]
)
@pytest.mark.parametrize("tokens", EDGES)
def test_short_types_are_multiplied_and_summed_in_fp32(tokens: int, dtype: torch.dtype, tolerance: float) -> None:
    """Only the gradients, which have the inputs' type, are rounded to it."""
    given = problem(tokens, dtype)
    exact = outcome(plain_causal_product, *(x.detach().double().requires_grad_() for x in given))
    for function in (causal_product, plain_causal_product):
        found = outcome(function, *given)
        assert found[0].dtype == torch.float32
        assert (found[0] - exact[0]).norm() < 1e-5 * exact[0].norm()
        for ours, theirs in zip(found[1:], exact[1:], strict=True):
            assert ours.dtype == dtype
            assert (ours - theirs).norm() < tolerance * theirs.norm()


@pytest.mark.parametrize("function", [causal_product, plain_causal_product])
def test_autocast_changes_no_bit(function: Any) -> None:
    query, key, value, _ = problem(100, torch.float32)
    expected = function(query, key, value)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(function(query, key, value), expected)


def test_gradient_by_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal_linear, "CHUNK", 3)
    given = [x.detach()[:, :1].requires_grad_() for x in problem(7, width=2)[:3]]
    assert torch.autograd.gradcheck(causal_product, given)


def test_a_later_token_changes_no_bit_of_an_earlier_one() -> None:
    query, key, value, _ = problem(200, torch.float32)
    before = causal_product(query, key, value)
    for place in (1, 63, 64, 100, 128, 191, 192, 199):
        later = [x.detach().clone() for x in (query, key, value)]
        for x in later:
            x[:, :, place:] *= 1e3
        after = causal_product(*later)
        assert torch.equal(before[:, :, :place], after[:, :, :place])
        assert not torch.isclose(before[:, :, place], after[:, :, place]).any()


def test_memory_is_linear_in_the_tokens() -> None:
    """Sums of 32 features and 32 values for every token would be 32 times the input; all pairs, even more."""
    sizes = []
    for tokens in (512, 2048):
        given = [torch.randn(1, 1, tokens, 32, requires_grad=True) for _ in range(3)]
        with Largest() as seen:
            outcome(causal_product, *given, torch.ones(1, 1, tokens, 32))
        assert seen.elements <= tokens * max(CHUNK, 32)
        sizes.append(seen.elements)
    assert sizes[1] <= 4 * sizes[0]
