"""Softmax attention in the precision in which it is fastest."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mtcli.kernels.cross_entropy import wide


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
