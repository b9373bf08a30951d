"""Attention equals the formula of the paper, and on processors it is computed in fp32 within autocast too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mtcli.kernels.attention import dot_product_attention


def vectors(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(2, 3, n, 8, generator=generator, dtype=torch.float64) for n in (5, 5, 5))
    return query.to(dtype), key.to(dtype), value.to(dtype)


def naive(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> np.ndarray:
    """Query by query; where the bias is minus infinity, nothing is seen."""
    out = np.zeros(query.shape)
    for place in np.ndindex(*query.shape[:3]):
        b, h, q = place
        logits = key[b, h].numpy() @ query[b, h, q].numpy() / np.sqrt(8) + bias.expand(2, 3, 5, 5)[b, h, q].numpy()
        weights = np.exp(logits - logits.max())
        out[place] = weights @ value[b, h].numpy() / weights.sum()
    return out


SEEN = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)[:, None, None]


@pytest.mark.parametrize("kind", ["all", "padding", "bias", "causal"])
def test_equals_the_formula(kind: str) -> None:
    given = vectors(torch.float64)
    nothing = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    bias = torch.linspace(-2, 2, 25, dtype=torch.float64).view(1, 1, 5, 5)
    if kind == "causal":
        past = torch.ones(5, 5, dtype=torch.bool).tril()
        found, expected = dot_product_attention(*given, causal=True), nothing.masked_fill(~past, -torch.inf)
    elif kind == "padding":
        found, expected = dot_product_attention(*given, SEEN), nothing.masked_fill(~SEEN, -torch.inf)
    elif kind == "bias":
        found, expected = dot_product_attention(*given, bias), bias
    else:
        found, expected = dot_product_attention(*given), nothing
    np.testing.assert_allclose(found.numpy(), naive(*given, expected), rtol=1e-10)


class Watch(TorchDispatchMode):
    """Remembers in which precision attention and its gradients were computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, torch.dtype]] = []

    def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        if "scaled_dot_product" in str(function):
            self.seen.append((str(function), given[0].dtype))
        return function(*given, **(named or {}))


@pytest.mark.parametrize("mask", [None, SEEN, torch.linspace(-2, 2, 25).view(1, 1, 5, 5).bfloat16()])
def test_within_autocast_it_is_computed_in_fp32(mask: Tensor | None) -> None:
    rounded = [x.requires_grad_() for x in vectors(torch.bfloat16)]
    with Watch() as watch:
        with torch.autocast("cpu", torch.bfloat16):
            found = dot_product_attention(*rounded, mask)
        gradients = torch.autograd.grad(found.sum(), rounded)
    assert len(watch.seen) == 2, "forward and backward"
    assert {dtype for _, dtype in watch.seen} == {torch.float32}
    wide = [x.detach().float().requires_grad_() for x in rounded]
    expected = dot_product_attention(*wide, mask)
    assert torch.equal(found, expected.bfloat16())
    for ours, theirs in zip(gradients, torch.autograd.grad(expected.sum(), wide), strict=True):
        assert torch.equal(ours, theirs.bfloat16())
