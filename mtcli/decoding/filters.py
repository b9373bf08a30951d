"""Pure functions from logits to logits that change what may be chosen.

Every function works on rows of logits and leaves its argument as it was; a token that must not be chosen gets -inf.
"""

from __future__ import annotations

from math import inf, log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtcli.decoding.selection import among_best
from mtcli.layout import BOS, EOS, PAD, UNK

NEVER = (PAD, UNK, BOS)
"""Tokens that no translation contains."""


def precise(logits: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
    """The logits in at least fp32, in which probabilities are computed and added up."""
    # A sum of bf16 log-probabilities stops growing after a few dozen tokens.
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def exact(device: torch.device) -> torch.dtype:
    """The precision in which log-probabilities are added up: sums of different ones are then different."""
    return torch.float32 if device.type == "mps" else torch.float64


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
