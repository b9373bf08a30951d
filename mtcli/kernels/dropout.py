"""Dropout whose mask is drawn as 16-bit random integers: on a CPU 2 to 4 times cheaper than `bernoulli_`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element with probability `p` (to the nearest 2^-16 below 1) and scale the others to keep the mean."""
    if x.device.type != "cpu":
        return plain_dropout(x, p)
    thinned: Tensor = Thin.apply(x, p)  # type: ignore[no-untyped-call]
    return thinned


def plain_dropout(x: Tensor, p: float) -> Tensor:
    """The same distribution by PyTorch's own operator."""
    return F.dropout(x, p)


class Thin(torch.autograd.Function):
    """Multiply by a random mask; the backward pass multiplies by the same mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        """Draw the mask from the default generator, so that a seed decides it."""
        dropped = min(round(p * 2**16), 2**16 - 1)
        # All 64 bits of each draw are random when the range has no upper end.
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        draws = words.view(torch.int16)[: x.numel()].view(x.shape)
        mask = draws.ge(dropped - 2**15)
        ctx.save_for_backward(mask)
        ctx.scale = 2**16 / (2**16 - dropped)
        return (x * mask).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """The gradient where the element was kept."""
        (mask,) = ctx.saved_tensors
        return (grads[0] * mask).mul_(ctx.scale), None
