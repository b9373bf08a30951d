"""Cross-entropy of two readouts of the same tokens, and how far their distributions are apart; no logits are kept.

With `p` and `q` the softmax of logits `a` and `b`, the gradients of KL(p || q) are `p (log p - log q - KL)` by `a`
and `q - p` by `b`. As in `cross_entropy`, each chunk of tokens is finished, gradients included, while its logits are
in the cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mtcli.kernels.cross_entropy import CHUNK, compute_dtype, wide
from mtcli.layout import PAD

Sums = tuple[Float[Tensor, ""], Float[Tensor, ""]]
"""A whole loss, and the cross-entropies in it by themselves, which have no gradient."""


class Shares(NamedTuple):
    """What the parts of the loss are multiplied by."""

    one: float
    """The smoothed cross-entropy of the first readout."""
    other: float
    """That of the second."""
    forth: float
    """The divergence of the first distribution from the second, KL(p || q)."""
    back: float
    """That of the second from the first."""

    def swapped(self) -> Shares:
        """The same if the second readout is called the first."""
        return Shares(self.other, self.one, self.back, self.forth)


def consistent_cross_entropy(
    one: Float[Tensor, "n m"],
    other: Float[Tensor, "n m"],
    weight: Float[Tensor, "v m"],
    target: Int[Tensor, " n"],
    smoothing: float,
    shares: Shares,
) -> Sums:
    """The summed loss of `n` tokens, in nats, but those whose target is `PAD`, which have none.

    Its gradients reach both readouts, through the divergences too.
    """
    if (
        not torch.is_grad_enabled()
    ):  # inside `forward` it never is: there, only inputs say whether they want gradients
        one, other, weight = one.detach(), other.detach(), weight.detach()
    sums: Sums = TwoReadouts.apply(one, other, weight, target, smoothing, shares)  # type: ignore[no-untyped-call]
    return sums


def plain_consistent_cross_entropy(
    one: Float[Tensor, "n m"],
    other: Float[Tensor, "n m"],
    weight: Float[Tensor, "v m"],
    target: Int[Tensor, " n"],
    smoothing: float,
    shares: Shares,
) -> Sums:
    """The same sums by PyTorch's own operators, all logits at once."""
    log_p, log_q = ((logits.to(wide(logits.dtype))).log_softmax(-1) for logits in (one @ weight.T, other @ weight.T))
    real = target != PAD
    log_p, log_q, target = log_p[real], log_q[real], target[real]
    losses = [F.cross_entropy(x, target, label_smoothing=smoothing, reduction="sum") for x in (log_p, log_q)]
    forth = F.kl_div(log_q, log_p, reduction="sum", log_target=True)
    back = F.kl_div(log_p, log_q, reduction="sum", log_target=True)
    entropy = shares.one * losses[0] + shares.other * losses[1]
    return entropy + shares.forth * forth + shares.back * back, entropy.detach()


class TwoReadouts(torch.autograd.Function):
    """Loss and gradients chunk by chunk in the forward pass; the backward pass only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        one: Tensor,
        other: Tensor,
        weight: Tensor,
        target: Tensor,
        smoothing: float,
        shares: Shares,
    ) -> Sums:
        """The summed loss, and the cross-entropies in it."""
        learning = any(ctx.needs_input_grad)
        dtype = compute_dtype(one)
        matrix, sums = weight.to(dtype), torch.zeros(2, dtype=wide(dtype), device=one.device)
        grads = [torch.empty_like(x) for x in (one, other)] if learning else []
        grad_weight = torch.zeros_like(weight) if learning else None
        size = CHUNK.get(one.device.type, 8192) // 2
        with torch.autocast(one.device.type, enabled=False):
            for begin in range(0, len(target), size):
                part = slice(begin, begin + size)
                states = [x[part].to(dtype) for x in (one, other)]
                first, second = (Distribution.of(x @ matrix.T, sums.dtype) for x in states)
                losses, by_one = side(first, second, target[part, None], smoothing, shares)
                rest, by_other = side(second, first, target[part, None], smoothing, shares.swapped())
                sums += losses + rest
                if grad_weight is None:
                    continue
                real = target[part, None] != PAD
                for state, grad, by_readout in zip(states, (by_one, by_other), grads, strict=True):
                    by_logits = grad.to(dtype)
                    by_readout[part] = (by_logits @ matrix) * real
                    grad_weight.add_(by_logits.T @ (state * real))
        ctx.save_for_backward(*grads, grad_weight)
        total, entropy = sums.unbind()
        ctx.mark_non_differentiable(entropy)
        return total, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the sum, times what the sum was multiplied by."""
        return (*(grad * grads[0] for grad in ctx.saved_tensors), None, None, None)


class Distribution(NamedTuple):
    """What a readout says about each token."""

    log_probs: Float[Tensor, "n v"]
    probs: Float[Tensor, "n v"]

    @classmethod
    def of(cls, logits: Float[Tensor, "n v"], dtype: torch.dtype) -> Distribution:
        """The softmax of logits."""
        log_probs = logits.to(dtype).log_softmax(1)
        return cls(log_probs, log_probs.exp())


def side(
    own: Distribution, other: Distribution, target: Int[Tensor, "n 1"], smoothing: float, shares: Shares
) -> tuple[Float[Tensor, " 2"], Float[Tensor, "n v"]]:
    """What one readout adds to the loss and to the cross-entropies in it; the gradient of the loss by its logits."""
    gap, real = own.log_probs - other.log_probs, target != PAD
    apart = (own.probs * gap).sum(1, keepdim=True)
    hit = (own.log_probs.gather(1, target) * real).sum()
    spread = (own.log_probs.mean(1, keepdim=True) * real).sum() if smoothing else 0.0
    entropy = (smoothing - 1) * hit - smoothing * spread
    grad = gap.sub_(apart).mul_(shares.forth).add_(shares.one + shares.back).mul_(own.probs)
    grad.sub_(other.probs, alpha=shares.back).sub_(shares.one * smoothing / grad.shape[1])
    grad.scatter_add_(1, target, torch.full_like(apart, shares.one * (smoothing - 1)))
    entropy = shares.one * entropy
    return torch.stack([entropy + shares.forth * (apart * real).sum(), entropy]), grad
