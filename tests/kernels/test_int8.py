"""Products of 8-bit integers: exact as such, close to those of floats, and the same whatever stands in other rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from mtcli.kernels.int8 import int8_linear, plain_int8_linear, quantised

SHAPES = pytest.mark.parametrize(("n", "i", "o"), [(1, 8, 5), (3, 256, 300), (70, 1024, 64), (5, 17, 3)])


def matrix(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The integers, transposed, and the scale of each output."""
    rounded, scale = quantised(weight)
    return rounded.t(), scale.squeeze(1)


@SHAPES
@pytest.mark.parametrize("biased", [False, True])
def test_equals_its_twin(n: int, i: int, o: int, biased: bool) -> None:
    torch.manual_seed(n)
    x, (weight, scale) = torch.randn(n, i), matrix(torch.randn(o, i))
    bias = torch.randn(o) if biased else None
    expected = plain_int8_linear(x.double(), weight, scale.double(), bias if bias is None else bias.double())
    torch.testing.assert_close(int8_linear(x, weight, scale, bias).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("leading", [(0,), (1, 1), (4, 3), (2, 0), (2, 3, 5)], ids=str)
@pytest.mark.parametrize("biased", [False, True])
def test_leading_dimensions_are_rows(leading: tuple[int, ...], biased: bool) -> None:
    torch.manual_seed(len(leading))
    x, (weight, scale) = torch.randn(*leading, 24), matrix(torch.randn(11, 24))
    bias = torch.randn(11) if biased else None
    for product in (int8_linear, plain_int8_linear):
        found = product(x, weight, scale, bias)
        assert found.shape == (*leading, 11)
        assert torch.equal(found.view(-1, 11), product(x.view(-1, 24), weight, scale, bias))


def test_columns_of_a_matrix_give_columns_of_the_product() -> None:
    torch.manual_seed(2)
    x, (weight, scale), bias = torch.randn(6, 48), matrix(torch.randn(30, 48)), torch.randn(30)
    whole = int8_linear(x, weight, scale, bias)
    for first, last in ((0, 10), (10, 30), (7, 8)):
        part = int8_linear(x, weight[:, first:last], scale[first:last], bias[first:last])
        assert torch.equal(part, whole[:, first:last])


@SHAPES
def test_rounds_by_half_a_step_at_most(n: int, i: int, o: int) -> None:
    torch.manual_seed(n)
    x = torch.randn(n, i) * torch.logspace(-20, 20, n)[:, None]
    rounded, scale = quantised(x)
    assert rounded.abs().amax(-1).tolist() == [127] * n
    assert ((rounded * scale - x).abs() <= scale * 0.5001).all()


@SHAPES
def test_is_close_to_floats(n: int, i: int, o: int) -> None:
    torch.manual_seed(n)
    x, full = torch.randn(n, i), torch.randn(o, i)
    expected = linear(x, full)
    assert (int8_linear(x, *matrix(full), None) - expected).norm() < 0.02 * expected.norm()


def test_a_row_does_not_depend_on_the_others() -> None:
    torch.manual_seed(1)
    weight, scale = matrix(torch.randn(40, 64))
    x = torch.randn(9, 64) * torch.logspace(-3, 3, 9)[:, None]
    together = int8_linear(x, weight, scale, None)
    for row, expected in zip(x, together, strict=True):
        assert torch.equal(int8_linear(row[None], weight, scale, None)[0], expected)


def test_zeros_stay_zeros_and_the_smallest_numbers_finite() -> None:
    x = torch.tensor([[0.0, 0.0], [1e-45, -1e-45], [1e38, -3e38]])
    rounded, scale = quantised(x)
    assert rounded[0].tolist() == [0, 0]
    assert scale.isfinite().all()
    assert (rounded * scale).isfinite().all()
