"""Turning pairs of neighbouring numbers: a product of complex numbers, 4 to 15 times as fast as in real ones."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def turned(x: Float[Tensor, "*b t d"], turn: Float[Tensor, "t i 2"]) -> Float[Tensor, "*b t d"]:
    """Each two neighbours of `x` turned by an angle, `turn` its cosine and sine; the type of `x` stays."""
    if torch.compiler.is_compiling():  # no kernel is generated for complex numbers
        return plain_turned(x, turn)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    pairs = torch.view_as_complex(wide.view(*x.shape[:-1], x.shape[-1] // 2, 2))
    return torch.view_as_real(pairs * torch.view_as_complex(turn)).flatten(-2).to(x.dtype)


def plain_turned(x: Float[Tensor, "*b t d"], turn: Float[Tensor, "t i 2"]) -> Float[Tensor, "*b t d"]:
    """The same in real numbers."""
    cos, sin = turn.unbind(-1)
    one, other = x.view(*x.shape[:-1], x.shape[-1] // 2, 2).unbind(-1)
    # The angles are fp32, so the products are too, whatever autocast made of `x`: only the result is rounded.
    both = torch.stack((one * cos - other * sin, one * sin + other * cos), dim=-1)
    return both.flatten(-2).to(x.dtype)
