"""How likely a model finds given translations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtcli.decoding.filters import precise
from mtcli.decoding.inference import at_rest, batches
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
    scores = [0.0] * len(sources)
    lengths = [max(len(source), len(target)) + 1 for source, target in zip(sources, targets, strict=True)]
    with at_rest(model):
        for places in batches(lengths, batch_tokens):
            batch = Batch.of([sources[i] for i in places], [targets[i] for i in places]).to(device)
            for place, score in zip(places, score_batch(model, batch).tolist(), strict=True):
                scores[place] = score
    return scores


def score_batch(model: Seq2Seq[Any], batch: Batch) -> Float[Tensor, " b"]:
    """The log-probability of each target of a batch."""
    valid = batch.target_rows.valid
    vectors, tokens = model.readout(batch)[valid], batch.target_out[valid]
    count = max(1, LOGITS // model.output.out_features)
    pieces = zip(torch.split(vectors, count), torch.split(tokens, count), strict=True)
    log_probs = torch.cat([token_log_probs(model.predict(piece), wanted) for piece, wanted in pieces])
    return torch.zeros_like(valid, dtype=log_probs.dtype).masked_scatter(valid, log_probs).sum(-1)


def token_log_probs(logits: Float[Tensor, "n v"], tokens: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The log-probability of one token of each row."""
    logits = precise(logits)
    return logits.gather(-1, tokens[:, None]).squeeze(-1) - logits.logsumexp(-1)
