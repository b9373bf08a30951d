"""Every normalisation of the catalogue: its paper's formula, in every precision."""

from __future__ import annotations

import math

import pytest
import torch

from mtcli import catalog
from mtcli.model.normalization import RMSNorm

EVERY = pytest.mark.parametrize("name", catalog.NORMALIZATION)


def test_rms_norm_divides_by_the_root_of_the_mean_square() -> None:
    """Zhang & Sennrich 2019, eq. 4; the epsilon keeps a vector of zeros finite."""
    norm = RMSNorm(3).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, -3.0]))
    found = norm(torch.tensor([[3.0, 4.0, 12.0], [0.0, 0.0, 0.0]], dtype=torch.float64))
    root = math.sqrt((9 + 16 + 144) / 3 + 1e-6)
    expected = torch.tensor([[3 / root, 8 / root, -36 / root], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


@EVERY
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [0.03, 1.0, 100.0])
def test_low_precision_only_rounds(name: str, precision: torch.dtype, size: float) -> None:
    norm, x = catalog.load("normalization", name)(64), size * torch.randn(5, 64)
    with torch.autocast("cpu", precision):
        found = norm(x.to(precision))
    torch.testing.assert_close(found.float(), norm(x), rtol=0.02, atol=0.02)


@EVERY
def test_zeros_have_a_finite_gradient(name: str) -> None:
    x = torch.zeros(2, 8, requires_grad=True)
    catalog.load("normalization", name)(8)(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
