"""The choice of the best, with fair ties: of equal ones the lower column comes first.

A processor finds the largest of a block of columns much faster than it sorts columns: where there are many, the
blocks are compared first.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BLOCK = 64
"""Columns of which the largest is found first."""


def likeliest(log_probs: Float[Tensor, "n v"]) -> Int[Tensor, " n"]:
    """The column of the largest of each row."""
    blocks = log_probs.shape[-1] // BLOCK
    if not blocks or log_probs.is_cuda:
        return log_probs.argmax(-1)
    first = in_blocks(log_probs, blocks).amax(-1).argmax(-1)
    within = torch.arange(BLOCK, device=first.device)
    columns = torch.cat((first[:, None] * BLOCK + within, behind(log_probs, blocks)), -1)
    return columns.gather(-1, log_probs.gather(-1, columns).argmax(-1, keepdim=True)).squeeze(-1)


def best_continuations(
    log_probs: Float[Tensor, "b w v"], before: Float[Tensor, "b w"], k: int
) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
    """The `k` largest sums of what came before and a column's log-probability, best first, and where they are.

    Column `c` of row `r` is place `r v + c`. Sums have the precision of `before`; in fp64 they are as different as
    the log-probabilities.
    """
    blocks = log_probs.shape[-1] // BLOCK
    if blocks < 4 * k or log_probs.is_cuda:
        return best_among_rows(log_probs, before, k)
    _, width, size = log_probs.shape
    maxima = (in_blocks(log_probs, blocks).amax(-1) + before[:, :, None]).flatten(1)
    highest, order = maxima.topk(k + 1)
    first = order[:, :k] // blocks * size + order[:, :k] % blocks * BLOCK
    within = torch.arange(BLOCK, device=first.device)
    rows = torch.arange(width, device=first.device)[:, None] * size
    rest = (rows + torch.arange(blocks * BLOCK, size, device=first.device)).flatten().expand(len(first), -1)
    places = torch.cat(((first[:, :, None] + within).flatten(1), rest), -1)
    sums, order = (log_probs.flatten(1).gather(1, places) + before.gather(1, places // size)).topk(k + 1)
    places = places.gather(1, order[:, :k])
    # Equal ones may stand in the wrong order, or in a block that was left out.
    tied = (sums[:, 1:] == sums[:, :-1]).any(-1) | (highest[:, k] == sums[:, k - 1])
    sums = sums[:, :k]
    if tied.any():
        sums[tied], places[tied] = best_among_rows(log_probs[tied], before[tied], k)
    return sums, places


def best_among_rows(
    log_probs: Float[Tensor, "b w v"], before: Float[Tensor, "b w"], k: int
) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
    """The same by looking at all columns: the best of each row, then the best of these."""
    _, width, size = log_probs.shape
    top, columns = best(log_probs.flatten(0, 1), min(k, size))
    rows = torch.arange(width, device=columns.device)[:, None] * size
    sums, order = best((top.view(*before.shape, -1) + before[:, :, None]).flatten(1), k)
    return sums, (columns.view(*before.shape, -1) + rows).flatten(1).gather(1, order)


def best(logits: Float[Tensor, "n v"], k: int) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """The `k` largest of each row, best first, and their columns.

    `topk` alone promises no order among equals, and bf16 logits are often equal.
    """
    values, columns = logits.topk(min(k + 1, logits.shape[-1]))
    if k < logits.shape[-1]:
        tied = values[:, k - 1] == values[:, k]
        columns = columns[:, :k]
        if tied.any():
            columns[tied] = among_best(logits[tied], k).nonzero()[:, 1].view(-1, k)
    columns = columns.sort(-1).values
    values, order = logits.gather(-1, columns).sort(dim=-1, descending=True, stable=True)
    return values, columns.gather(-1, order)


def among_best(logits: Float[Tensor, "n v"], k: int) -> Bool[Tensor, "n v"]:
    """Whether each is one of the `k` largest of its row; exactly `k` are, of equal ones those in lower columns."""
    last = logits.topk(k).values[:, -1:]
    above, equal = logits > last, logits == last
    room = k - above.sum(-1, keepdim=True)
    return above | (equal & (equal.cumsum(-1) <= room))


def in_blocks(x: Float[Tensor, "*n v"], blocks: int) -> Float[Tensor, "*n c w"]:
    """The columns of whole blocks, block by block."""
    return x[..., : blocks * BLOCK].view(*x.shape[:-1], blocks, BLOCK)


def behind(x: Float[Tensor, "n v"], blocks: int) -> Int[Tensor, "n r"]:
    """The columns behind the whole blocks."""
    return torch.arange(blocks * BLOCK, x.shape[-1], device=x.device).expand(len(x), -1)
