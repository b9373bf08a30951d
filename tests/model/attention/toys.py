"""Small patterns, positions whose every offset counts, and random tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from mtcli.layout import Attend, Rows
from mtcli.model.attention.block_local import BlockLocalAttention
from mtcli.model.attention.longformer import LongformerAttention
from mtcli.model.attention.pattern import PatternAttention, Tokens
from mtcli.model.attention.sparse import SparseAttention
from mtcli.model.position import Position

HEADS, DIM = 4, 3


@dataclass(frozen=True)
class Variant:
    """A mechanism, and its definition for one pair of positions, written from the paper."""

    name: str
    make: Callable[[float], PatternAttention]
    sees: Callable[[int, int], bool]


def block_local(size: int, neighbours: bool) -> Variant:
    def sees(i: int, j: int) -> bool:
        return i // size == j // size or (neighbours and (i // size + 1 == j // size or i // size - 1 == j // size))

    name = f"block-local-{size}{'-neighbours' * neighbours}"
    return Variant(name, lambda dropout: BlockLocalAttention(size, neighbours, dropout), sees)


def longformer(window: int, dilation: int, global_tokens: int) -> Variant:
    def sees(i: int, j: int) -> bool:
        steps = [i + dilation * step for step in range(-window, window + 1)]
        return j in steps or i < global_tokens or j < global_tokens

    name = f"longformer-{window}-{dilation}-{global_tokens}"
    return Variant(name, lambda dropout: LongformerAttention(window, dilation, global_tokens, dropout), sees)


def strided(stride: int) -> Variant:
    def sees(i: int, j: int) -> bool:
        first = j in range(i - stride, i + stride + 1)
        second = (i - j) % stride == 0
        return first or second

    return Variant(f"strided-{stride}", lambda dropout: SparseAttention("strided", stride, 1, dropout), sees)


def fixed(stride: int, summary: int) -> Variant:
    def sees(i: int, j: int) -> bool:
        first = j // stride == i // stride
        second = j % stride in range(max(stride - summary, 0), stride)
        return first or second

    return Variant(
        f"fixed-{stride}-{summary}", lambda dropout: SparseAttention("fixed", stride, summary, dropout), sees
    )


VARIANTS = [
    *(block_local(size, neighbours) for size in (1, 4) for neighbours in (False, True)),
    *(longformer(*sizes) for sizes in [(1, 1, 0), (3, 1, 1), (2, 3, 0), (1, 2, 5), (2, 2, 1)]),
    *(strided(stride) for stride in (1, 2, 5)),
    *(fixed(*sizes) for sizes in [(1, 1), (4, 1), (5, 2), (3, 7)]),
]

FAR = 64
"""Farther apart no two tokens of a test are."""


class Biased(Position):
    """A random bias for every head and offset."""

    changes_logits = True

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.table = torch.randn(HEADS, 2 * FAR + 1, generator=generator, dtype=torch.float64)

    def bias(self, query: Tensor, offsets: Tensor) -> Tensor:
        found = self.table[:, offsets.clamp(-FAR, FAR) + FAR]
        return found.view(1, HEADS, *[1] * (query.dim() - 2 - offsets.dim()), *offsets.shape)


class Valued(Position):
    """A random key and a random value for every offset (Shaw et al. 2018, eq. 3 and 4), not clipped."""

    changes_logits = True
    changes_values = True

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.keys, self.mixed = torch.randn(2, 2 * FAR + 1, DIM, generator=generator, dtype=torch.float64)

    def bias(self, query: Tensor, offsets: Tensor) -> Tensor:
        keys = self.keys[offsets.clamp(-FAR, FAR) + FAR]
        return torch.einsum("...qd,...qkd->...qk", query, keys) * DIM**-0.5

    def values(self, weights: Tensor, offsets: Tensor) -> Tensor:
        return torch.einsum("...qk,...qkd->...qd", weights, self.mixed[offsets.clamp(-FAR, FAR) + FAR])


class Counting(Position):
    """Counts the logits of each head."""

    changes_logits = True
    logits = 0

    def bias(self, query: Tensor, offsets: Tensor) -> None:
        self.logits += prod(query.shape[2:-1]) * offsets.shape[-1]


POSITIONS = [Position(), Biased(), Valued()]


def tokens(
    lengths: list[int], causal: bool = False, position: Position | None = None, groups: int = HEADS, width: int = 0
) -> Tokens:
    """Random queries, keys and values that ask for gradients; padding is random too."""
    torch.manual_seed(sum(lengths))
    width = width or max(lengths)
    query, key, value = (
        torch.randn(len(lengths), heads, width, DIM, dtype=torch.float64, requires_grad=True)
        for heads in (HEADS, groups, groups)
    )
    rows = Rows(torch.tensor(lengths), width)
    return Tokens(query, key, value, Attend(rows, rows, causal), position or Position(), 0.0)
