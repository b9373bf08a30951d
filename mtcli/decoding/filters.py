"""Pure functions from logits to logits that change what may be chosen, and the choice of the best with fair ties.

Every function works on rows of logits and leaves its argument as it was; a token that must not be chosen gets -inf.
"""

from __future__ import annotations

from math import inf, log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtcli.layout import BOS, EOS, PAD, UNK

NEVER = (PAD, UNK, BOS)
"""Tokens that no translation contains."""

BLOCK = 64
"""Columns of which the largest is found first."""


def precise(logits: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
    """The logits in at least fp32, in which probabilities are computed and added up."""
    # A sum of bf16 log-probabilities stops growing after a few dozen tokens.
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def log_probs_of(logits: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
    """The log-probabilities, in at least fp32; of tokens that no translation contains -inf instead.

    A CPU computes all of them faster than `logsumexp` alone, which is not one pass of vector instructions.
    """
    log_probs = precise(logits).log_softmax(-1)
    for token in NEVER:
        log_probs[:, token] = -inf
    return log_probs


def temperature(logits: Float[Tensor, "n v"], value: float) -> Float[Tensor, "n v"]:
    """Divide by `value`: below 1 sharpens the distribution, above 1 flattens it."""
    # With the largest logit at 0 and a divisor that fp32 can hold, a tiny temperature gives 0 and -inf, never NaN.
    divisor = max(value, torch.finfo(logits.dtype).tiny)
    return (logits - logits.amax(-1, keepdim=True)) / divisor


def top_k(logits: Float[Tensor, "n v"], k: int) -> Float[Tensor, "n v"]:
    """Keep exactly the `k` largest of each row, of equal ones those with lower ids (Fan et al. 2018)."""
    return logits if k >= logits.shape[-1] else logits.masked_fill(~among_best(logits, k), -inf)


def top_p(logits: Float[Tensor, "n v"], p: float) -> Float[Tensor, "n v"]:
    """Keep the fewest tokens whose probabilities sum up to at least `p`, and at least one (Holtzman et al. 2020)."""
    ordered, tokens = logits.sort(dim=-1, descending=True, stable=True)
    probs = ordered.softmax(-1)
    before = probs.cumsum(-1) - probs
    keep = before < p
    keep[:, 0] = True  # in fp32 even p may be 0
    return logits.masked_fill(~torch.zeros_like(keep).scatter(-1, tokens, keep), -inf)


def min_p(logits: Float[Tensor, "n v"], share: float) -> Float[Tensor, "n v"]:
    """Keep the tokens that are at least `share` times as likely as the likeliest (Nguyen et al. 2024)."""
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + log(share), -inf)


def epsilon_cutoff(logits: Float[Tensor, "n v"], epsilon: float) -> Float[Tensor, "n v"]:
    """Keep the tokens more likely than `epsilon`, and at least the likeliest (Hewitt et al. 2022)."""
    unlikely = logits.softmax(-1) <= epsilon
    return logits.masked_fill(unlikely & ~among_best(logits, 1), -inf)


def no_end(logits: Float[Tensor, "n v"], rows: Bool[Tensor, " n"]) -> Float[Tensor, "n v"]:
    """Make EOS impossible in some rows."""
    allowed = logits.clone()
    allowed[:, EOS] = allowed[:, EOS].masked_fill(rows, -inf)
    return allowed


def no_repeat(logits: Float[Tensor, "n v"], tokens: Int[Tensor, "n t"], size: int) -> Float[Tensor, "n v"]:
    """Make impossible what would repeat an n-gram of `size` that is among `tokens` (Paulus et al. 2018)."""
    if tokens.shape[-1] < size:
        return logits
    grams = tokens.unfold(-1, size, 1)  # n g size
    latest = tokens[:, tokens.shape[-1] - size + 1 :]
    repeating = (grams[:, :, :-1] == latest[:, None, :]).all(-1)
    # What is no token stands behind the end of a hypothesis and follows nothing.
    rows, places = (repeating & (grams[:, :, -1] >= 0)).nonzero(as_tuple=True)
    allowed = logits.clone()
    allowed[rows, grams[rows, places, -1]] = -inf
    return allowed


def unless_nothing_is_left(wanted: Float[Tensor, "n v"], otherwise: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
    """The rows that are `wanted`, or `otherwise` where they would allow no token at all."""
    return otherwise.where((wanted == -inf).all(-1, keepdim=True), wanted)


def best(logits: Float[Tensor, "n v"], k: int) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """The `k` largest of each row, best first, and their columns; of equal ones the lower column comes first."""
    blocks = logits.shape[-1] // BLOCK
    if blocks < 4 * k or logits.is_cuda:
        return best_of_all(logits, k)
    # The best are in the blocks with the largest maxima, which a CPU finds much faster than it sorts.
    maxima, order = logits[:, : blocks * BLOCK].view(len(logits), blocks, BLOCK).amax(-1).topk(k + 1)
    first = order[:, :k].sort(-1).values * BLOCK
    within = torch.arange(BLOCK, device=logits.device)
    rest = torch.arange(blocks * BLOCK, logits.shape[-1], device=logits.device)
    columns = torch.cat(((first[:, :, None] + within).flatten(1), rest.expand(len(logits), -1)), dim=-1)
    values, places = best_of_all(logits.gather(-1, columns), k)
    columns = columns.gather(-1, places)
    tied = maxima[:, k] == values[:, -1]  # an equal one may stand in a block that was left out
    if tied.any():
        values[tied], columns[tied] = best_of_all(logits[tied], k)
    return values, columns


def best_of_all(logits: Float[Tensor, "n v"], k: int) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """The same by looking at all columns.

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
