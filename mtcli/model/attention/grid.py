"""Positions laid out in rows of neighbours and columns of residues, where patterns are small dense products."""

from __future__ import annotations

import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from torch.nn.functional import pad


def in_rows(x: Shaped[Tensor, "b h t d"], width: int) -> Shaped[Tensor, "b h r w d"]:
    """Position `i` in row `i // width` and column `i % width`; zeros fill the last row."""
    missing = -x.shape[2] % width
    whole = pad(x, (0, 0, 0, missing)) if missing else x
    return whole.reshape(*x.shape[:2], -1, width, x.shape[3])


def around(x: Shaped[Tensor, "b h *n r w d"], before: int, after: int) -> Shaped[Tensor, "b h *n r k d"]:
    """Each row with the `before` rows before it and the `after` rows after it; zeros where there are none."""
    if not before and not after:
        return x
    count, padded = x.shape[-3], pad(x, (0, 0, 0, 0, before, after))
    return torch.cat([padded.narrow(-3, shift, count) for shift in range(before + 1 + after)], dim=-2)


def offsets_around(width: int, before: int, after: int, device: torch.device) -> Int[Tensor, "w k"]:
    """Key position minus query position in a row that has other rows around it; the same for every row."""
    keys = torch.arange(-before * width, (after + 1) * width, device=device)
    return keys - torch.arange(width, device=device)[:, None]
