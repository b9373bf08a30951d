"""How likely a model finds given translations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtcli.decoding.filters import precise
from mtcli.decoding.inference import over_pairs
from mtcli.layout import Batch
from mtcli.model.seq2seq import Seq2Seq

LOGITS = 2**24
"""Logits computed at a time: 64 MiB in fp32."""


def score_pairs(
    model: Seq2Seq[Any],
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    batch_tokens: int,
    device: torch.device,
) -> list[float]:
    """The log-probability of each target, its EOS included, given its source; tokens are without BOS and EOS.

    `batch_tokens` bounds sentences x longest side in a batch. The result is in the order of the arguments.
    """

    def totals(batch: Batch, places: list[int]) -> list[float]:
        found: list[float] = score_batch(model, batch).sum(-1).tolist()
        return found

    return over_pairs(model, sources, targets, batch_tokens, device, totals)


def score_tokens(
    model: Seq2Seq[Any],
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    batch_tokens: int,
    device: torch.device,
) -> list[list[float]]:
    """The same token by token: of each target one number more than it has tokens, the last one that of EOS."""

    def rows(batch: Batch, places: list[int]) -> list[list[float]]:
        lengths = batch.target_rows.lengths.tolist()
        return [row[:length] for row, length in zip(score_batch(model, batch).tolist(), lengths, strict=True)]

    return over_pairs(model, sources, targets, batch_tokens, device, rows)


def score_batch(model: Seq2Seq[Any], batch: Batch) -> Float[Tensor, "b t"]:
    """The log-probability of each token of each target in a batch; 0 for padding."""
    valid = batch.target_rows.valid
    vectors, tokens = model.readout(batch)[valid], batch.target_out[valid]
    count = max(1, LOGITS // model.output.out_features)
    pieces = zip(torch.split(vectors, count), torch.split(tokens, count), strict=True)
    log_probs = torch.cat([token_log_probs(model.predict(piece), wanted) for piece, wanted in pieces])
    return torch.zeros_like(valid, dtype=log_probs.dtype).masked_scatter(valid, log_probs)


def token_log_probs(logits: Float[Tensor, "n v"], tokens: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The log-probability of one token of each row."""
    logits = precise(logits)
    return logits.gather(-1, tokens[:, None]).squeeze(-1) - logits.logsumexp(-1)
