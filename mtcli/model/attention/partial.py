"""Softmax over keys that lie in several parts, each in the layout that suits it.

A part mixes its own values by its own softmax. The softmax over all of them is the mean of these mixtures, weighted
by the parts' sums of exponentials (Rabe and Staats 2021, section 2), so that no logits change their layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtcli.kernels.dropout import dropout
from mtcli.model.attention.softmax import limited, widen
from mtcli.model.position import Position


@dataclass(frozen=True)
class Part:
    """What each query gets from some of its keys."""

    mixed: Float[Tensor, "b h *n d"]
    """The mean of their values, weighted by their exponentials."""
    total: Float[Tensor, "b h *n 1"]
    """The logarithm of the sum of these exponentials."""

    def laid(self, change: Callable[[Tensor], Tensor]) -> Part:
        """The same in another layout of the queries."""
        return Part(change(self.mixed), change(self.total))


def part(
    query: Float[Tensor, "b h *n q d"],
    key: Float[Tensor, "b g *n k d"],
    value: Float[Tensor, "b g *n k d"],
    mask: Bool[Tensor, "... #q k"],
    offsets: Int[Tensor, "*#n q k"],
    position: Position,
    dropout_p: float,
) -> Part:
    """Mix the values of these keys; where a query may see none of them, finite numbers of no weight."""
    key, value = widen(key, query), widen(value, query)
    logits = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
    bias = position.bias(query, offsets)
    if bias is not None:
        logits = logits + bias
    # fp32: as in `softmax`
    logits = limited(logits.to(torch.promote_types(logits.dtype, torch.float32)), mask)
    total = logits.logsumexp(dim=-1, keepdim=True)
    weights = (logits - total).exp().to(value.dtype)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    mixed = weights @ value
    if position.changes_values:
        mixed = mixed + position.values(weights, offsets)
    return Part(mixed, total)


def join(parts: Sequence[Part]) -> Float[Tensor, "b h t d"]:
    """The mixture over the keys of all parts, of which no key is in two."""
    shares = torch.softmax(torch.cat([part.total for part in parts], dim=-1), dim=-1)
    mixed = torch.stack([part.mixed for part in parts], dim=-1)  # b h t d p
    return (mixed * shares[..., None, :].to(mixed.dtype)).sum(-1)
