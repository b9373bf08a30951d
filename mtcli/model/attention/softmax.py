"""`softmax(Q K^T / sqrt(d) + bias) V` (Vaswani et al. 2017, eq. 1), for every mechanism that forms weights."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtcli.kernels.attention import dot_product_attention
from mtcli.kernels.dropout import dropout
from mtcli.model.position import Position

# Between the heads and the queries there may be further dimensions, `*n`: blocks that attend each to their own keys.


def attend(
    query: Float[Tensor, "b h *n q d"],
    key: Float[Tensor, "b g *n k d"],
    value: Float[Tensor, "b g *n k d"],
    mask: Bool[Tensor, "... #q k"] | None,
    offsets: Int[Tensor, "*#n q k"],
    position: Position,
    dropout_p: float,
) -> Float[Tensor, "b h *n q d"]:
    """Mix values by softmax; where a query may see nothing, the result is finite and means nothing.

    Offsets are key position minus query position.
    """
    key, value = widen(key, query), widen(value, query)
    bias = position.bias(query, offsets)
    if not position.changes_values:
        if bias is not None:
            # Autocast would round an fp32 bias itself, and the lowest number of fp32 to minus infinity.
            bias = bias.to(value.dtype)
            mask = bias if mask is None else limited(bias, mask)
        return dot_product_attention(query, key, value, mask, dropout=dropout_p)
    logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if bias is not None:
        logits = logits + bias
    weights = softmax(logits if mask is None else limited(logits, mask))
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return weights @ value + position.values(weights, offsets)


def softmax(logits: Float[Tensor, "*n k"]) -> Float[Tensor, "*n k"]:
    """Weights that sum to 1, in the logits' precision."""
    # fp32: a bf16 softmax loses weights whose logits differ by less than 1/128
    return torch.softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32)).to(logits.dtype)


def limited(logits: Float[Tensor, "... q k"], mask: Bool[Tensor, "... #q k"]) -> Float[Tensor, "... q k"]:
    """The logits where attention is allowed, and the lowest number where it is not.

    Its weight is exactly 0 beside any other; unlike minus infinity, it gives no NaN where nothing is allowed.
    """
    return logits.masked_fill(~mask, torch.finfo(logits.dtype).min)


def widen(shared: Float[Tensor, "b g *n k d"], query: Float[Tensor, "b h *n q d"]) -> Float[Tensor, "b h *n k d"]:
    """Keys or values of `g` heads, each repeated for the `h / g` heads of queries that it serves."""
    times = query.shape[1] // shared.shape[1]
    return shared if times == 1 else shared.repeat_interleave(times, dim=1)
