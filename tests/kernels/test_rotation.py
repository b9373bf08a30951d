"""Turned pairs: those of the plain twin and of a rotation matrix, whatever the layout of their tensor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mtcli.kernels.rotation import plain_turned, turned
from mtcli.model.positions.rope import turns

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def drawn(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    torch.manual_seed(len(shape))
    return torch.randn(shape, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (4, 7, 2), (6, 1, 16), (2, 0, 4), (0, 3, 4)], ids=str)
def test_equals_its_twin_with_its_gradient(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    angles, grad = turns(shape[-2], shape[-1], 100.0), drawn(shape, dtype)
    results = []
    for turn in (turned, plain_turned):
        x = drawn(shape, dtype).requires_grad_()
        y = turn(x, angles)
        y.backward(grad)
        assert x.grad is not None
        assert (y.dtype, y.shape) == (dtype, shape)
        results.append((y.detach(), x.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[dtype])


def test_a_pair_is_multiplied_by_the_matrix_of_its_angle() -> None:
    x, angles = drawn((3, 6), torch.float64), turns(3, 6, 100.0).double()
    y = turned(x, angles)
    for place in range(3):
        for pair in range(3):
            cos, sin = angles[place, pair]
            matrix = torch.stack((torch.stack((cos, -sin)), torch.stack((sin, cos))))
            both = slice(2 * pair, 2 * pair + 2)
            torch.testing.assert_close(y[place, both], matrix @ x[place, both])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_parts_of_a_projection_are_turned_where_they_lie(dtype: torch.dtype) -> None:
    """Queries and keys are slices of one tensor, seen with their heads before their tokens."""
    whole, angles = drawn((2, 5, 3 * 8), dtype), turns(5, 4, 100.0)
    for part in torch.split(whole, 8, dim=-1):
        heads = part.unflatten(-1, (2, 4)).transpose(1, 2)
        assert not heads.is_contiguous()
        torch.testing.assert_close(turned(heads, angles), turned(heads.contiguous(), angles))


class Kinds(TorchDispatchMode):
    """Whether any operator made complex numbers."""

    complex = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.complex |= any(isinstance(each, Tensor) and each.is_complex() for each in tree_leaves(result))
        return result


@pytest.mark.parametrize("compiling", [False, True])
def test_no_complex_numbers_are_compiled(compiling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no generated kernels for them."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    x, angles = drawn((2, 3, 4), torch.float32), turns(3, 4, 100.0)
    with Kinds() as kinds:
        y = turned(x, angles)
    torch.testing.assert_close(y, plain_turned(x, angles))
    assert kinds.complex == (not compiling)
