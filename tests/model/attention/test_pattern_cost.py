"""Time and memory grow as the papers say: nothing of the size of all pairs is ever made."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mtcli.layout import Attend, Rows
from mtcli.model.attention.block_local import BlockLocalAttention
from mtcli.model.attention.longformer import LongformerAttention
from mtcli.model.attention.pattern import PatternAttention
from mtcli.model.attention.sparse import SparseAttention
from mtcli.model.position import Position
from tests.model.attention import toys
from tests.model.attention.toys import Variant

LONG = 8192


class Largest(TorchDispatchMode):
    """Remembers the bytes of the largest memory that any operation, forward or backward, gives back."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        sizes = [leaf.untyped_storage().nbytes() for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
        self.size = max([self.size, *sizes])
        return found


class Sloped(Position):
    """A bias that grows with the distance (Press et al. 2022), and values that do (as in Shaw et al. 2018)."""

    changes_logits = True

    def __init__(self, values: bool) -> None:
        super().__init__()
        self.changes_values = values  # type: ignore[misc]

    def bias(self, query: Tensor, offsets: Tensor) -> Tensor:
        return (offsets.abs() * -0.5).to(query.dtype).expand(1, query.shape[1], *offsets.shape)

    def values(self, weights: Tensor, offsets: Tensor) -> Tensor:
        return (weights * offsets).sum(-1, keepdim=True).expand(*weights.shape[:-1], 8)


MAKE: dict[str, Callable[[int], PatternAttention]] = {
    "block-local": lambda length: BlockLocalAttention(16, True, 0.1),
    "longformer": lambda length: LongformerAttention(10, 1, 1, 0.1),
    "longformer-dilated": lambda length: LongformerAttention(10, 4, 2, 0.1),
    "strided": lambda length: SparseAttention("strided", isqrt(length), 1, 0.1),
    "fixed": lambda length: SparseAttention("fixed", isqrt(length), 1, 0.1),
}
GROWTH = {"block-local": 1.0, "longformer": 1.0, "longformer-dilated": 1.0, "strided": 1.5, "fixed": 1.5}
NAMES = pytest.mark.parametrize("name", list(MAKE))
CAUSAL = pytest.mark.parametrize("causal", [False, True], ids=["both", "causal"])


def largest(mechanism: PatternAttention, length: int, causal: bool, position: Position) -> int:
    """Bytes of the largest tensor of one forward and backward pass over one head of 8 dimensions."""
    query, key, value = (torch.randn(1, 1, length, 8, requires_grad=True) for _ in range(3))
    rows = Rows(torch.tensor([length - 3]), length)
    with Largest() as found:
        mechanism(query, key, value, Attend(rows, rows, causal), position).sum().backward()
    return found.size


@NAMES
@CAUSAL
@pytest.mark.parametrize("values", [False, True], ids=["biased", "valued"])
def test_memory_grows_as_the_pattern(name: str, causal: bool, values: bool) -> None:
    position = Sloped(values)
    short, long = (largest(MAKE[name](n), n, causal, position) for n in (LONG // 4, LONG))
    assert long <= short * 4 ** GROWTH[name] * 1.05
    assert long < LONG**2 / 2  # bytes: not even a mask of all pairs would fit


@NAMES
@CAUSAL
def test_work_grows_as_the_pattern(name: str, causal: bool) -> None:
    short, long = (MAKE[name](n).work(n, causal) for n in (LONG // 4, LONG))
    assert long / short == pytest.approx(4 ** GROWTH[name], rel=0.05)


@pytest.mark.parametrize("variant", toys.VARIANTS, ids=lambda variant: variant.name)
@CAUSAL
def test_work_is_the_number_of_logits(variant: Variant, causal: bool) -> None:
    mechanism = variant.make(0.0)
    for length in (1, 7, 12, 31):
        position = toys.Counting()
        mechanism.fast(toys.tokens([length], causal, position))
        assert position.logits == mechanism.work(length, causal)
