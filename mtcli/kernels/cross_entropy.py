"""Label-smoothed cross-entropy of a linear readout, without ever holding all logits.

The loss of one token with logits z, target y and smoothing e over V pieces is (Szegedy et al. 2016, section 7)
`logsumexp(z) - (1 - e) z_y - e mean(z)`, so neither log-probabilities nor a smoothed target are materialised. The
gradient by z, `softmax(z) - (1 - e) onehot(y) - e / V`, is known as soon as z is, so that each chunk of tokens is
finished, gradients included, while its logits are still in the cache.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mtcli.layout import PAD

CHUNK = {"cpu": 256, "cuda": 8192, "mps": 2048}
"""Tokens whose logits exist at once: on a CPU those fit in the second-level cache; a GPU wants large products."""


def smoothed_cross_entropy(
    hidden: Float[Tensor, "n m"], weight: Float[Tensor, "v m"], target: Int[Tensor, " n"], smoothing: float
) -> Float[Tensor, ""]:
    """The summed loss of `n` tokens, in nats; those whose target is `PAD` have none, and no gradient.

    Softmax and sum are in fp32 or wider, whatever the products are.
    """
    # Inside `forward` gradients are always disabled: whether anybody wants them can only be asked here.
    learning = torch.is_grad_enabled()
    total: Tensor = LinearCrossEntropy.apply(hidden, weight, target, smoothing, learning)  # type: ignore[no-untyped-call]
    return total


def plain_smoothed_cross_entropy(
    hidden: Float[Tensor, "n m"], weight: Float[Tensor, "v m"], target: Int[Tensor, " n"], smoothing: float
) -> Float[Tensor, ""]:
    """The same sum by PyTorch's own operators, all logits at once."""
    logits = F.linear(hidden, weight)
    logits = logits.to(wide(logits.dtype))
    return F.cross_entropy(logits, target, ignore_index=PAD, label_smoothing=smoothing, reduction="sum")


class LinearCrossEntropy(torch.autograd.Function):
    """Loss and gradients chunk by chunk in the forward pass; the backward pass only scales them."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor, smoothing: float, learning: bool) -> Tensor:
        """The summed loss."""
        dtype = compute_dtype(hidden)
        states, matrix = hidden.to(dtype), weight.to(dtype)
        counted = (target != PAD)[:, None]
        total = torch.zeros((), dtype=wide(dtype), device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if learning and ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight) if learning and ctx.needs_input_grad[1] else None
        size = CHUNK.get(hidden.device.type, 8192)
        with torch.autocast(hidden.device.type, enabled=False):
            for begin in range(0, len(target), size):
                part = slice(begin, begin + size)
                logits, real = (states[part] @ matrix.T).to(total.dtype), counted[part]
                hit = logits.gather(1, target[part, None])
                uniform = smoothing * (logits.mean(1, keepdim=True) * real).sum() if smoothing else 0.0
                # In place from here on: one exponential, and no second tensor of this size.
                top = logits.amax(1, keepdim=True)
                mass = logits.sub_(top).exp_().sum(1, keepdim=True)
                total += ((top + mass.log() - (1 - smoothing) * hit) * real).sum() - uniform
                if grad_hidden is None and grad_weight is None:
                    continue
                grad = logits.div_(mass).sub_(smoothing / len(weight))
                grad.scatter_add_(1, target[part, None], torch.full_like(hit, smoothing - 1))
                grad = grad.to(dtype)
                if grad_hidden is not None:
                    grad_hidden[part] = (grad @ matrix) * real
                if grad_weight is not None:
                    grad_weight.add_(grad.T @ (states[part] * real))
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """The gradients of the sum, times what the sum was multiplied by."""
        by_hidden, by_weight = (None if grad is None else grad * grads[0] for grad in ctx.saved_tensors)
        return by_hidden, by_weight, None, None, None


def compute_dtype(x: Tensor) -> torch.dtype:
    """The type in which autocast would multiply `x`."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type for softmax and sums: fp32, or wider where the input is."""
    return torch.promote_types(dtype, torch.float32)
