"""The coverage penalty (Wu et al. 2016, eq. 14): a translation that hardly looks at a part of its source loses score.

Where a hypothesis looked is found by one more pass over it when it ends: steps need not return weights, nearly all of
which would be those of hypotheses that never end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mtcli.decoding.filters import exact
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.inference import over_pairs
from mtcli.decoding.request import Request
from mtcli.layout import Batch
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import DecodingSettings

UNSEEN = 2.0**-24
"""What a source token counts that nothing looks at, so that scores are finite: fp16 has no smaller weights."""


@dataclass(frozen=True)
class Coverage:
    """From hypotheses, with the places of their sentences in `requests`, to the same with penalised scores."""

    model: Seq2Seq[Any]
    requests: Sequence[Request]
    settings: DecodingSettings
    device: torch.device

    @classmethod
    def of(
        cls, model: Seq2Seq[Any], requests: Sequence[Request], settings: DecodingSettings, device: torch.device
    ) -> Coverage | None:
        """The penalty that is asked for; None if none is, so that it costs nothing."""
        return cls(model, requests, settings, device) if settings.coverage_penalty else None

    def __call__(self, found: Sequence[tuple[int, Hypothesis]]) -> list[tuple[int, Hypothesis]]:
        """Score hypotheses that end in the same step, finished or not; their log-probabilities stay."""
        sources = [self.requests[sentence].source for sentence, _ in found]
        # A model reads all tokens that it predicts but the last one, which is EOS if the hypothesis is finished.
        read = [h.tokens if h.finished else h.tokens[:-1] for _, h in found]
        penalties = over_pairs(self.model, sources, read, self.settings.batch_tokens, self.device, self.penalties)
        pairs = zip(found, penalties, strict=True)
        return [(sentence, replace(h, score=h.score + penalty)) for (sentence, h), penalty in pairs]

    def penalties(self, batch: Batch, places: list[int]) -> list[float]:
        """What to add to the score of each hypothesis in a batch."""
        logs: list[float] = log_coverage(batch, self.model.attention(batch)).tolist()
        return [self.settings.coverage_penalty * log for log in logs]


def log_coverage(batch: Batch, weights: Float[Tensor, "b t s"]) -> Float[Tensor, " b"]:
    """`sum_i log(min(sum_j p_ij, 1))` over the source tokens `i` and all predicted tokens `j`, EOS among these.

    The EOS of a source is not among its tokens: it holds nothing that a translation could leave out.
    """
    device = weights.device
    looks = weights.masked_fill(~batch.target_rows.valid[:, :, None], 0).sum(1, dtype=exact(device))
    words = batch.source_rows.positions < batch.source_rows.lengths[:, None] - 1
    return looks.clamp(UNSEEN, 1).log().masked_fill(~words, 0).sum(-1)
