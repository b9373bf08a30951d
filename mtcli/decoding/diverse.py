"""Diverse beam search (Vijayakumar et al. 2016): groups of hypotheses that avoid each other's tokens.

The beam is divided into groups, and each is a beam search of its own, but for penalties on the tokens that the groups
before it chose in the same step. A group never hears of those behind it, so the first is a plain beam search.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtcli.decoding.hypothesis import Hypothesis
from mtcli.layout import EOS
from mtcli.settings import DecodingSettings


def of_one_group(settings: DecodingSettings) -> DecodingSettings:
    """The settings of one group's search: its share of the beam, and no more translations than that."""
    width = settings.beam_size // settings.diversity_groups
    return settings.model_copy(update={"beam_size": width, "n_best": min(width, settings.n_best)})


def selected(tokens: Int[Tensor, "b c"], log_probs: Float[Tensor, "b c"], width: int) -> Bool[Tensor, "b c"]:
    """The candidates, given best first, that a group of `width` takes: those it goes on with and those that end."""
    ended = tokens == EOS
    goes_on = ~ended & ((~ended).cumsum(-1) <= width)
    ends = ended & (torch.arange(tokens.shape[-1], device=tokens.device) < width)
    return (goes_on | ends) & (log_probs > -inf)


def raised(
    penalties: Float[Tensor, "b v"], tokens: Int[Tensor, "b c"], taken: Bool[Tensor, "b c"], strength: float
) -> Float[Tensor, "b v"]:
    """The penalties for the next group: Hamming diversity adds `strength` for each time that a token was taken."""
    return penalties.scatter_add(1, tokens, strength * taken.to(penalties.dtype))


def unsettled(undecided: Sequence[int], groups: int) -> list[int]:
    """The places of all groups of the sentences that have an undecided one.

    A group that has its results goes on, for the groups behind it to avoid: they find the same however early others
    can stop.
    """
    sentences = sorted({place // groups for place in undecided})
    return [sentence * groups + group for sentence in sentences for group in range(groups)]


def merged(groups: Sequence[Sequence[Hypothesis]], share: int, n_best: int) -> list[Hypothesis]:
    """`n_best` hypotheses, best first, out of the best `share` of each group: all groups' best, then second best, ...

    So the first is the best of all, and a list shows as many groups as it can. What two groups found counts once, and
    a group that found no end has no say beside one that did.
    """
    ranked = [
        (rank, -hypothesis.score, hypothesis)
        for group in groups
        for rank, hypothesis in enumerate(sorted(group, key=lambda h: -h.score)[:share])
    ]
    ended = [each for each in ranked if each[-1].finished]
    distinct: dict[tuple[int, ...], Hypothesis] = {}
    for _, _, hypothesis in sorted(ended or ranked, key=lambda each: each[:2]):
        distinct.setdefault(hypothesis.tokens, hypothesis)
    return sorted(list(distinct.values())[:n_best], key=lambda h: -h.score)
