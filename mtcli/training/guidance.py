"""Guided alignment: attention learns to look where word alignments point (Chen et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mtcli import recipe as recipes
from mtcli.data.batches import Batches, Padded
from mtcli.data.encoded import Encoded
from mtcli.data.resegmented import batches_of
from mtcli.data.shards import Indices
from mtcli.data.tokenizer import Tokenizer
from mtcli.errors import UsageError
from mtcli.kernels.cross_entropy import smoothed_cross_entropy
from mtcli.layout import Batch
from mtcli.model.build import supports_attention
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import Recipe
from mtcli.training.links import Linked


@dataclass(frozen=True)
class Guided(Batch):
    """A batch that says which source tokens each target token should look at, in equal shares; or at none."""

    shares: Float[Tensor, "b t s"]

    def part(self, rows: slice) -> Guided:
        """The batch of some of its rows, without the columns that only the others need."""
        part = super().part(rows)
        return beside(part, self.shares[rows, : part.target_rows.width, : part.source_rows.width])

    def to(self, device: torch.device) -> Guided:
        """The same batch on another device."""
        return beside(super().to(device), self.shares.to(device, non_blocking=True))


def beside(batch: Batch, shares: Float[Tensor, "b t s"]) -> Guided:
    """The batch with these shares."""
    return Guided(**{each.name: getattr(batch, each.name) for each in fields(Batch)}, shares=shares)


def unguided(batch: Batch) -> Guided:
    """The batch as one without links: it takes as much memory as any."""
    return beside(batch, torch.zeros(*batch.target_in.shape, batch.source.shape[1]))


class Linking(Padded):
    """Padded rows, with the links of their pairs."""

    def assemble(self, corpus: Encoded, pairs: Indices) -> Guided:
        """The batch of these pairs."""
        assert isinstance(corpus, Linked)
        batch, links = unguided(super().assemble(corpus, pairs)), corpus.links.chosen(pairs)
        rows = np.repeat(np.arange(len(pairs)), links.lengths // 2)
        target, source = links.tokens.astype(np.int64).reshape(-1, 2).T
        batch.shares[torch.from_numpy(rows), torch.from_numpy(target), torch.from_numpy(source)] = 1.0
        return beside(batch, batch.shares / batch.shares.sum(-1, keepdim=True).clamp(min=1.0))


def batches_for(corpus: Encoded, tokenizer: Tokenizer, recipe: Recipe) -> Batches:
    """A training corpus in batches, with its links if it has any."""
    if isinstance(corpus, Linked):
        max_tokens = recipe.training.max_tokens
        return Batches(corpus, max_tokens, recipe.training.seed, Linking(max_tokens))
    return batches_of(corpus, tokenizer, recipe)


def refuse_unguided(recipe: Recipe) -> None:
    """Raise `UsageError` if word alignments are to guide attention, and nothing can be guided, or by nothing."""
    data, training = recipe.data, recipe.training
    if bool(data.alignments) != bool(training.guided_alignment):
        raise UsageError(
            "--alignments and --guided-alignment are nothing without each other",
            "for example: --alignments train.links --guided-alignment 0.05",
        )
    if not data.alignments:
        return
    if len(data.alignments) != len(data.train):
        raise UsageError(
            f"there are {len(data.alignments)} files of --alignments for {len(data.train)} corpora of --train",
            "give one for each, in the same order",
        )
    if not supports_attention(recipe.model):
        kind = recipe.model.cross_attention
        raise UsageError(f"--guided-alignment needs weights of source words, which cross-attention {kind!r} lacks")
    others = {"r_drop": training.r_drop, "simcut": training.simcut, "layer_dropout": recipe.model.layer_dropout}
    others |= {"layout": training.layout == "packed"}
    others |= {"bpe_dropout": training.bpe_dropout, "unigram_temperature": training.unigram_temperature}
    for name, value in others.items():
        if value:
            raise UsageError(
                f"--guided-alignment does not go together with {recipes.flag(name)}", "choose one of them"
            )


def guided_loss(
    model: Seq2Seq[Any], batch: Guided, smoothing: float, weight: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The cross-entropy of a batch with `weight` times that of its alignments, both summed; and the former alone."""
    real = batch.target_rows.valid
    readout, attention = model.readout_and_attention(batch)
    entropy = smoothed_cross_entropy(readout[real], model.output.weight, batch.target_out[real], smoothing)
    return entropy + weight * alignment_loss(attention, batch.shares), entropy.detach()


def alignment_loss(attention: Float[Tensor, "b t s"], shares: Float[Tensor, "b t s"]) -> Float[Tensor, ""]:
    """`- sum_ts G_ts log A_ts` for shares G and attention A (Chen et al. 2016; Garg et al. 2019).

    A weight of 0, as beyond the window of a local alignment, has no gradient.
    """
    logs = attention.clamp(min=torch.finfo(attention.dtype).tiny).log()
    return -(shares * logs).sum()
