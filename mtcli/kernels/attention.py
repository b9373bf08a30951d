"""Softmax attention in the precision in which it is fastest."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mtcli.kernels.cross_entropy import compute_dtype, wide
from mtcli.layout import Attend
from mtcli.packing import Packed


def dot_product_attention(
    query: Float[Tensor, "b h *n q d"],
    key: Float[Tensor, "b h *n k d"],
    value: Float[Tensor, "b h *n k d"],
    mask: Bool[Tensor, "... #q k"] | Float[Tensor, "... #q k"] | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> Float[Tensor, "b h *n q d"]:
    """`softmax(Q K^T / sqrt(d) + mask) V` (Vaswani et al. 2017, equation 1); a boolean mask says what is seen.

    On processors in fp32 or wider, within autocast too: there, PyTorch's backward pass in bf16 takes five times as
    long, a quarter of a training step of a small model.
    """
    if query.device.type != "cpu":
        return scaled_dot_product_attention(query, key, value, mask, dropout, causal)
    given, dtype = query.dtype, wide(query.dtype)
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(dtype)
    with torch.autocast("cpu", enabled=False):
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        return scaled_dot_product_attention(query, key, value, mask, dropout, causal).to(given)


def packed_attention(
    query: Float[Tensor, "1 h q d"], key: Float[Tensor, "1 h k d"], value: Float[Tensor, "1 h k d"], attend: Attend
) -> Float[Tensor, "1 h q d"]:
    """The same for sentences end to end, each of which attends to its own tokens only.

    On GPUs in half precision by FlashAttention (Dao 2024), whose work grows with the sum of the squared lengths;
    elsewhere by the plain twin, whose work grows with the square of their sum.
    """
    dtype = compute_dtype(query)
    if query.device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return plain_packed_attention(query, key, value, attend)
    queries, keys = attend.queries, attend.keys
    assert isinstance(queries, Packed)
    assert isinstance(keys, Packed)
    rows = (x[0].transpose(0, 1).to(dtype) for x in (query, key, value))  # 1 h t d -> t h d
    mixed = flash(*rows, queries.starts, keys.starts, queries.longest, keys.longest, attend.causal)
    return mixed.transpose(0, 1)[None]


def plain_packed_attention(
    query: Float[Tensor, "1 h q d"], key: Float[Tensor, "1 h k d"], value: Float[Tensor, "1 h k d"], attend: Attend
) -> Float[Tensor, "1 h q d"]:
    """The same with a mask over all pairs of tokens."""
    return dot_product_attention(query, key, value, attend.mask)


def flash(*arguments: Any) -> Tensor:
    """PyTorch's attention for rows of several lengths, whose last argument, whether it is causal, was renamed."""
    from torch.nn.attention.varlen import varlen_attn

    *given, causal = arguments
    if "is_causal" in inspect.signature(varlen_attn).parameters:
        mixed: Tensor = varlen_attn(*given, is_causal=causal)  # type: ignore[call-arg, assignment]
    else:
        mixed = varlen_attn(*given, window_size=(-1, 0) if causal else (-1, -1))  # type: ignore[assignment]
    return mixed
