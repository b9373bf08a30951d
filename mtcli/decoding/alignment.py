"""Which source word each target word looked at, in Pharaoh's form: `0-0 1-2`, source and target word from 0."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Links = tuple[tuple[int, int], ...]
"""Pairs of a source word and a target word, by their numbers."""


def links(weights: Float[Tensor, "t s"], source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> Links:
    """For each target word, the source word to which its tokens give most weight together, in order.

    `source` and `target` say of which words the tokens are part; weights beyond these tokens, those from and to EOS,
    do not count. (To add up weights gave better alignments than to link the words of linked tokens, 0.55 to 0.51.)
    """
    into, of = membership(source), membership(target)
    if not into.numel() or not of.numel():
        return ()
    weights = weights[: len(target), : len(source)].double().cpu()
    together = of.T @ weights @ into
    pairs = zip(together.argmax(-1).tolist(), range(len(together)), strict=True)
    return tuple(sorted(pairs))


def membership(places: Sequence[Sequence[int]]) -> Float[Tensor, "n w"]:
    """For each token the words that it is part of, as equal shares of 1."""
    count = 1 + max((number for touched in places for number in touched), default=-1)
    shares = torch.zeros(len(places), count, dtype=torch.float64)
    for row, touched in zip(shares, places, strict=True):
        row[list(touched)] = 1 / max(1, len(touched))
    return shares


def pharaoh(found: Links) -> str:
    """The links as text."""
    return " ".join(f"{source}-{target}" for source, target in found)
