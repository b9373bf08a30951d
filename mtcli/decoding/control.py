"""The one place where both search loops ask what may be chosen; log-probabilities stay those of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtcli.decoding.filters import NEVER, no_end, no_repeat, unless_nothing_is_left
from mtcli.decoding.request import Request
from mtcli.layout import EOS
from mtcli.settings import DecodingSettings


@dataclass(frozen=True)
class Control:
    """From logits to logits in which what may not follow is -inf.

    `tokens` are those predicted so far, the same number of hypotheses in a row for each of `sentences`, which are
    places in `requests`. What would leave a hypothesis nothing to choose is not asked of it.
    """

    requests: Sequence[Request]
    size: int
    """Of the n-grams that may not repeat; 0: all may."""

    @classmethod
    def of(cls, requests: Sequence[Request], settings: DecodingSettings) -> Control | None:
        """The control that is asked for; None if none is, so that it costs nothing."""
        wanted = settings.no_repeat_ngram or any(request.rules or request.minimum for request in requests)
        return cls(requests, settings.no_repeat_ngram) if wanted else None

    def __call__(
        self, logits: Float[Tensor, "n v"], tokens: Int[Tensor, "n t"], sentences: Sequence[int]
    ) -> Float[Tensor, "n v"]:
        """All that is asked for."""
        return self.unrepeated(self.long_enough(self.obey(logits, tokens, sentences), tokens, sentences), tokens)

    def obey(
        self, logits: Float[Tensor, "n v"], tokens: Int[Tensor, "n t"], sentences: Sequence[int]
    ) -> Float[Tensor, "n v"]:
        """What the text must be: the rules."""
        if not any(self.requests[sentence].rules for sentence in sentences):
            return logits
        width = len(tokens) // len(sentences)
        of_rows = [self.requests[sentence] for sentence in sentences for _ in range(width)]
        rows = zip(of_rows, tokens.tolist(), strict=True)
        refused = torch.stack([refused_by(*row, logits.shape[-1]) for row in rows])
        return logits.masked_fill(refused.to(logits.device), -inf)

    def long_enough(
        self, logits: Float[Tensor, "n v"], tokens: Int[Tensor, "n t"], sentences: Sequence[int]
    ) -> Float[Tensor, "n v"]:
        """No end before the minimum, unless nothing else is left."""
        short = [self.requests[sentence].minimum > tokens.shape[-1] for sentence in sentences]
        if not any(short):
            return logits
        rows = torch.tensor(short, device=logits.device).repeat_interleave(len(tokens) // len(sentences))
        return unless_nothing_is_left(no_end(logits, rows), logits)

    def unrepeated(self, logits: Float[Tensor, "n v"], tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n v"]:
        """No n-gram twice, unless nothing else is left."""
        return unless_nothing_is_left(no_repeat(logits, tokens, self.size), logits) if self.size else logits


def refused_by(request: Request, tokens: list[int], size: int) -> Bool[Tensor, " v"]:
    """What the rules refuse after `tokens`, of a vocabulary of `size`; nothing after the end of a hypothesis."""
    refused = torch.zeros(size, dtype=torch.bool)
    if min(tokens, default=size) <= EOS:
        return refused
    refused[[*NEVER]] = True
    for rule in request.rules:
        more = rule(tokens, len(tokens) + 1 >= request.limit)
        if more is not None and not (refused | more).all():
            refused = refused | more
    return refused
