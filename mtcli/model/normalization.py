"""How vectors are normalised, beside `torch.nn.LayerNorm`."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import rms_norm


class RMSNorm(nn.RMSNorm):
    """`g x / sqrt(mean(x^2) + 1e-6)` (Zhang & Sennrich 2019, eq. 4)."""

    def __init__(self, dim: int) -> None:
        # PyTorch's own epsilon follows the precision: 0.008 for bf16 vectors, which shrinks all but large ones.
        super().__init__(dim, eps=1e-6)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """The normalised vectors, in the precision they came in."""
        # A weight of another precision than `x`, as autocast leaves it, keeps PyTorch from its fused kernel.
        return rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)
