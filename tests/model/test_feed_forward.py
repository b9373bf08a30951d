"""Feed-forward networks against loops over single numbers, written from the papers."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from mtcli import catalog
from mtcli.model.feed_forward import FeedForward

MODEL, INNER = 6, 10

EVERY = pytest.mark.parametrize("name", catalog.ACTIVATION)


def network(name: str, model_dim: int = MODEL, inner_dim: int = INNER, gain: float = 1.0) -> FeedForward:
    torch.manual_seed(1)
    made: FeedForward = catalog.load("activation", name)(model_dim, inner_dim, 0.0, gain)
    return made.double()


def naive(x: list[float], name: str, weights: dict[str, Tensor]) -> list[float]:
    """One token, number by number."""
    widened = affine(x, weights["widen.weight"], weights["widen.bias"])
    if name == "relu":  # Vaswani et al. 2017, eq. 2
        inner = [max(0.0, a) for a in widened]
    elif name == "gelu":  # Hendrycks & Gimpel 2016, section 2
        inner = [a * 0.5 * (1 + math.erf(a / math.sqrt(2))) for a in widened]
    else:  # Shazeer 2020, eq. 5 with Swish_1
        inner = [a / (1 + math.exp(-a)) * b for a, b in zip(widened[:INNER], widened[INNER:], strict=True)]
    return affine(inner, weights["narrow.weight"], weights["narrow.bias"])


def affine(x: list[float], matrix: Tensor, bias: Tensor) -> list[float]:
    sums = [sum(w * a for w, a in zip(row, x, strict=True)) for row in matrix.tolist()]
    return [total + b for total, b in zip(sums, bias.tolist(), strict=True)]


@EVERY
@torch.no_grad()
def test_it_is_what_its_paper_says(name: str) -> None:
    module, x = network(name), torch.randn(2, 3, MODEL, dtype=torch.float64)
    for bias in (module.widen.bias, module.narrow.bias):
        bias.normal_()
    found, weights = module(x), module.state_dict()
    for row, place in product(range(2), range(3)):
        expected = torch.tensor(naive(x[row, place].tolist(), name, weights), dtype=torch.float64)
        torch.testing.assert_close(found[row, place], expected)


@EVERY
def test_weights_have_the_same_names_whatever_the_kind(name: str) -> None:
    assert [*network(name).state_dict()] == ["widen.weight", "widen.bias", "narrow.weight", "narrow.bias"]


@EVERY
@pytest.mark.parametrize("gain", [1.0, 0.25])
@torch.no_grad()
def test_every_matrix_begins_as_glorot_says(name: str, gain: float) -> None:
    """Uniform up to sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010, eq. 16): gate and values are two matrices."""
    module = network(name, model_dim=40, inner_dim=200, gain=gain)
    bound = gain * math.sqrt(6 / (40 + 200))
    for matrix in (*module.widen.weight.split(200), module.narrow.weight):
        assert 0.99 * bound < matrix.abs().max() <= bound
        assert matrix.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not module.widen.bias.any()
    assert not module.narrow.bias.any()
