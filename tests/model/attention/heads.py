"""Random queries, keys and values, and a measure of the memory that mixing them takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mtcli.layout import Attend, Rows
from mtcli.model.position import Position

Heads = tuple[Tensor, Tensor, Tensor]


def rows(*lengths: int, width: int = 0) -> Rows:
    return Rows(torch.tensor(lengths), width or max(lengths))


def heads(
    layout: Rows, asking: Rows | None = None, *, groups: int = 4, dim: int = 4, dtype: torch.dtype = torch.float64
) -> Heads:
    """Queries of four heads, and keys and values of `groups`."""
    generator = torch.Generator().manual_seed(1)
    batch = len(layout.lengths)

    def draw(count: int, width: int) -> Tensor:
        return torch.randn(batch, count, width, dim, generator=generator, dtype=torch.float64).to(dtype)

    return draw(4, (asking or layout).width), draw(groups, layout.width), draw(groups, layout.width)


def real(x: Tensor, layout: Rows) -> Tensor:
    """The tokens of all rows, without padding, one after the other."""
    return x.transpose(1, 2)[layout.valid]


class Largest(TorchDispatchMode):
    """Remembers the most elements that any operation's result had."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return result


def largest(mechanism: Any, tokens: int, causal: bool) -> int:
    """Elements of the largest tensor that mixing this many tokens makes, forward and backward."""
    layout = rows(tokens)
    given = [x.requires_grad_() for x in heads(layout, dtype=torch.float32)]
    with Largest() as seen:
        mechanism(*given, Attend(layout, layout, causal=causal), Position()).sum().backward()
    return seen.elements
