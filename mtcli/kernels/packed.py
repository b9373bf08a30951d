"""Products with a matrix that oneDNN has laid out for its kernels, once, in fp32 or bf16.

For a few rows at a time, as in decoding, up to four times as fast as a product that finds the matrix as it is stored.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

ROWS = 64
"""Rows for which the layout is chosen; it serves other numbers as well, except one made for a single row."""


def packable(dtype: torch.dtype) -> bool:
    """Whether this build of PyTorch and this processor have such kernels."""
    ops = torch.ops.mkldnn
    known = bool(torch.backends.mkldnn.is_available()) and hasattr(ops, "_linear_pointwise")  # type: ignore[no-untyped-call]
    if dtype == torch.bfloat16:
        return known and bool(ops._is_mkldnn_bf16_supported())
    return known and dtype == torch.float32


def multiplies_bf16() -> bool:
    """Whether this processor has instructions for products in bf16."""
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def packed(weight: Float[Tensor, "o i"]) -> Tensor:
    """The matrix in an opaque layout; `to_dense` gives it back."""
    laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
    return laid_out


def packed_linear(
    x: Float[Tensor, "*n i"], weight: Tensor, bias: Float[Tensor, " o"] | None
) -> Float[Tensor, "*n o"]:
    """`x W^T + b` with a packed `W`; all in the precision of `W`."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def plain_packed_linear(
    x: Float[Tensor, "*n i"], weight: Tensor, bias: Float[Tensor, " o"] | None
) -> Float[Tensor, "*n o"]:
    """The same without the kernel."""
    return torch.nn.functional.linear(x, weight.to_dense(), bias)
