"""Products with packed matrices: those of plain ones, for any number of rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from mtcli.kernels.packed import packable, packed, packed_linear, plain_packed_linear

TOLERANCE = {torch.float32: {"rtol": 1e-5, "atol": 1e-5}, torch.bfloat16: {"rtol": 2e-2, "atol": 2e-2}}
LEADING = [(0,), (1,), (5,), (70,), (0, 3), (3, 0), (1, 1), (5, 1), (1, 70), (4, 20)]
"""Rows of a matrix, or sentences and their tokens."""


@pytest.fixture(params=TOLERANCE, ids=str)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    chosen: torch.dtype = request.param
    if not packable(chosen):
        pytest.skip(f"no kernels for packed matrices in {chosen} here")
    return chosen


def drawn(dtype: torch.dtype, outputs: int, inputs: int, biased: bool) -> tuple[Tensor, Tensor | None]:
    torch.manual_seed(outputs)
    weight, bias = torch.randn(outputs, inputs) * inputs**-0.5, torch.randn(outputs)
    return weight.to(dtype), bias.to(dtype) if biased else None


@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 1), (7, 33), (64, 48), (300, 256)])
@pytest.mark.parametrize("biased", [False, True])
def test_equals_its_twin_and_the_plain_product(
    leading: tuple[int, ...], outputs: int, inputs: int, biased: bool, dtype: torch.dtype
) -> None:
    weight, bias = drawn(dtype, outputs, inputs, biased)
    x = torch.randn(*leading, inputs).to(dtype)
    found = packed_linear(x, packed(weight), bias)
    assert (found.shape, found.dtype) == ((*leading, outputs), dtype)
    torch.testing.assert_close(found, plain_packed_linear(x, packed(weight), bias), **TOLERANCE[dtype])
    torch.testing.assert_close(found, linear(x, weight, bias), **TOLERANCE[dtype])


def test_inputs_need_not_be_contiguous(dtype: torch.dtype) -> None:
    weight, bias = drawn(dtype, 7, 32, True)
    whole = torch.randn(9, 5, 64).to(dtype)
    for x in (whole[:, 3, 8:40], whole[:, :, ::2], whole[0, :, :32].t()[:, :1].expand(-1, 32), whole[4, :, 1:33]):
        found = packed_linear(x, packed(weight), bias)
        torch.testing.assert_close(found, linear(x, weight, bias), **TOLERANCE[dtype])


def test_unpacking_gives_the_matrix_back(dtype: torch.dtype) -> None:
    for shape in ((1, 1), (7, 33), (300, 256)):
        weight, _ = drawn(dtype, *shape, False)
        assert torch.equal(packed(weight).to_dense(), weight)


def test_other_precisions_have_no_packed_matrices() -> None:
    assert not packable(torch.float64)
    assert not packable(torch.float16)
