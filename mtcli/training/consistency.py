"""Losses that ask a model to predict alike twice: under other dropout (R-Drop), or without some words (SimCut).

Both read a batch twice at once, so that a step takes twice the time and memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from mtcli.kernels.consistency import Shares, Sums, consistent_cross_entropy
from mtcli.layout import BOS, EOS, UNK, Batch
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import TrainingSettings


def passes(settings: TrainingSettings) -> int:
    """How often a step reads its batches."""
    return 2 if settings.r_drop or settings.simcut else 1


def r_drop_loss(model: Seq2Seq[Any], batch: Batch, smoothing: float, alpha: float) -> Sums:
    """The mean of two passes' cross-entropies, and `alpha` / 4 of the divergences both ways, summed over tokens.

    Half of equation 4 of Liang et al. 2021, "R-Drop", so that a token counts as much as without.
    """
    return twice(model, batch, batch, smoothing, Shares(0.5, 0.5, alpha / 4, alpha / 4))


def simcut_loss(model: Seq2Seq[Any], batch: Batch, smoothing: float, alpha: float, rate: float) -> Sums:
    """The cross-entropy, and `alpha` times its distributions' divergence from those of a batch that lacks words.

    Gao et al. 2022, "Bi-SimCut", equation 6: gradients flow through both.
    """
    return twice(model, batch, cut(batch, rate), smoothing, Shares(1, 0, alpha, 0))


def twice(model: Seq2Seq[Any], batch: Batch, again: Batch, smoothing: float, shares: Shares) -> Sums:
    """The summed loss of a batch, read once as it is, and once as `again`, and the cross-entropy in it."""
    halves = model.readout(batch.above(again)).flatten(0, 1).chunk(2)
    one, other, target = map(batch.target_rows.real, (*halves, batch.target_out.flatten()))
    return consistent_cross_entropy(one, other, model.output.weight, target, smoothing, shares)


def cut(batch: Batch, rate: float) -> Batch:
    """A batch in which each token that is read has become UNK with probability `rate`; what is predicted stays."""
    return replace(batch, source=without(batch.source, rate), target_in=without(batch.target_in, rate))


def without(tokens: Int[Tensor, "b t"], rate: float) -> Int[Tensor, "b t"]:
    """Tokens of which some are unknown, but never where a sentence begins or ends."""
    gone = torch.rand(tokens.shape, device=tokens.device) < rate
    return tokens.masked_fill(gone & (tokens != BOS) & (tokens != EOS), UNK)
