"""Beam search with exact stopping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtcli.decoding.control import Control
from mtcli.decoding.filters import NEVER, best, forbid, precise
from mtcli.decoding.hypothesis import Hypothesis, normalised
from mtcli.decoding.request import Request
from mtcli.errors import UsageError
from mtcli.layout import BOS, EOS
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.settings import DecodingSettings


@dataclass(frozen=True)
class Beams:
    """`k` hypotheses for each of the `b` sentences that are still searched, those to prefer first.

    A place without a hypothesis has the log-probability -inf.
    """

    sentences: list[int]
    """Which sentence of the whole batch each is."""
    rows: Int[Tensor, "b k"]
    """The row of the model's state that each hypothesis continues."""
    tokens: Int[Tensor, "b k t"]
    """From BOS to the last predicted token."""
    log_probs: Float[Tensor, "b k"]

    def pick(self, places: Int[Tensor, "b n"]) -> Beams:
        """Some of each sentence's hypotheses."""
        tokens = self.tokens.gather(1, places[:, :, None].expand(-1, -1, self.tokens.shape[-1]))
        return Beams(self.sentences, self.rows.gather(1, places), tokens, self.log_probs.gather(1, places))

    def keep(self, kept: list[int]) -> Beams:
        """Some of the sentences."""
        if len(kept) == len(self.sentences):
            return self
        index = torch.tensor(kept, device=self.rows.device, dtype=torch.long)
        sentences = [self.sentences[i] for i in kept]
        return Beams(sentences, self.rows[index], self.tokens[index], self.log_probs[index])


Grow = Callable[[Beams, Float[Tensor, "n v"]], Beams]
"""From the hypotheses and their next logits to at least `k` continuations of each sentence that do not end."""


def beam_search(
    model: Seq2Seq[Any],
    memory: Memory,
    requests: Sequence[Request],
    settings: DecodingSettings,
    grow: Grow | None = None,
) -> list[list[Hypothesis]]:
    """The `n_best` best hypotheses found for each sentence with `beam_size` alive at each step, best first.

    Fewer than `n_best` come back if fewer end within the limit; if none ends, the unfinished ones do.
    `grow` chooses the continuations of each step, `extend` if it is not given. Raises `UsageError` if more are asked
    for than are kept alive.
    """
    width = settings.beam_size
    if settings.n_best > width:
        hint = f"set beam_size to at least {settings.n_best}"
        raise UsageError(f"a beam of {width} cannot find {settings.n_best} translations per sentence", hint)
    found: list[list[Hypothesis]] = [[] for _ in requests]
    limits = [request.limit for request in requests]
    grow = grow or partial(extend, control=Control.of(requests, settings))
    beams, state = first(len(found), width, memory.values.device), model.start(memory, width)
    while True:
        logits, state = model.step(beams.tokens[:, :, -1].flatten(), state)
        candidates = grow(beams, logits)
        collect(candidates, found, settings)
        beams = alive(candidates, width)
        beams = beams.keep(undecided(beams, found, limits, settings))
        if not beams.sentences:
            return [sorted(each, key=lambda h: -h.score)[: settings.n_best] for each in found]
        state = model.select(state, beams.rows.flatten())


def first(sentences: int, width: int, device: torch.device) -> Beams:
    """One hypothesis per sentence, BOS, and empty places beside it."""
    log_probs = torch.full((sentences, width), -inf, device=device)
    log_probs[:, 0] = 0
    tokens = torch.full((sentences, width, 1), BOS, device=device)
    rows = torch.arange(sentences * width, device=device).view(sentences, width)
    return Beams(list(range(sentences)), rows, tokens, log_probs)


def extend(beams: Beams, logits: Float[Tensor, "n v"], control: Control | None = None) -> Beams:
    """The best `2k` continuations of each sentence's `k` hypotheses: at most `k` end, so at least `k` go on."""
    sentences, width, _ = beams.tokens.shape
    logits = precise(logits)
    allowed = forbid(logits, NEVER)
    if control:
        allowed = control(allowed, beams.tokens[:, :, 1:].flatten(0, 1), beams.sentences)
    top, tokens = best(allowed, min(2 * width, logits.shape[-1]))
    # Of the whole vocabulary only the normaliser is needed: a row's best logits are its best log-probabilities.
    gained = (top - logits.logsumexp(-1, keepdim=True)).view(sentences, width, -1)
    log_probs, chosen = best((beams.log_probs[:, :, None] + gained).flatten(1), 2 * width)
    origin = chosen // gained.shape[-1]
    return continued(beams, origin, tokens.view(sentences, -1).gather(1, chosen), log_probs)


def continued(
    beams: Beams, origin: Int[Tensor, "b c"], added: Int[Tensor, "b c"], log_probs: Float[Tensor, "b c"]
) -> Beams:
    """Each sentence's hypotheses `origin` with one token more."""
    sentences, width, _ = beams.tokens.shape
    past = beams.pick(origin).tokens
    rows = origin + width * torch.arange(sentences, device=origin.device)[:, None]
    return Beams(beams.sentences, rows, torch.cat([past, added[:, :, None]], -1), log_probs)


def collect(candidates: Beams, found: list[list[Hypothesis]], settings: DecodingSettings) -> None:
    """Add the candidates that end here, and are among the best `k`, to their sentence's `found`.

    One that ends beyond the best `k` is not collected, as another token would not be followed from there either:
    so a beam of 1 is greedy search, and a beam that is wide enough is exhaustive search.
    """
    width = settings.beam_size
    ended = (candidates.tokens[:, :width, -1] == EOS) & (candidates.log_probs[:, :width] > -inf)
    where = ended.nonzero()
    tokens = candidates.tokens[where[:, 0], where[:, 1], 1:-1].tolist()
    log_probs = candidates.log_probs[where[:, 0], where[:, 1]].tolist()
    for (sentence, _), output, log_prob in zip(where.tolist(), tokens, log_probs, strict=True):
        hypothesis = Hypothesis.of(output, log_prob, True, settings.length_penalty)
        found[candidates.sentences[sentence]].append(hypothesis)


def alive(candidates: Beams, width: int) -> Beams:
    """The best `width` candidates of each sentence that do not end."""
    ended = candidates.tokens[:, :, -1] == EOS
    return candidates.pick(ended.byte().argsort(dim=-1, stable=True)[:, :width])


def undecided(
    beams: Beams, found: list[list[Hypothesis]], limits: list[int], settings: DecodingSettings
) -> list[int]:
    """The places in `beams` of the sentences whose search goes on; the others' results are complete in `found`."""
    places = []
    length = beams.tokens.shape[-1] - 1
    highest = beams.log_probs.amax(-1).tolist()
    for place, (sentence, log_prob) in enumerate(zip(beams.sentences, highest, strict=True)):
        limit = limits[sentence]
        if length < limit and not decided(found[sentence], log_prob, limit, settings):
            places.append(place)
        elif not found[sentence]:
            found[sentence] = unfinished(beams, place, settings)
    return places


def decided(found: list[Hypothesis], log_prob: float, limit: int, settings: DecodingSettings) -> bool:
    """Whether a sentence has its results: a beam full of them, or nothing alive can still join the best.

    The best hypothesis alive has `log_prob` and can only lose; were every further token certain, its score would
    be highest at the length limit (Huang et al. 2017, section 4).
    """
    if log_prob == -inf or len(found) >= settings.beam_size:
        return True
    if len(found) < settings.n_best:
        return False
    worst = sorted((h.score for h in found), reverse=True)[settings.n_best - 1]
    return worst >= normalised(log_prob, limit, settings.length_penalty)


def unfinished(beams: Beams, place: int, settings: DecodingSettings) -> list[Hypothesis]:
    """A sentence's best `n_best` hypotheses without an end, but none for empty places."""
    pairs = zip(beams.tokens[place, :, 1:].tolist(), beams.log_probs[place].tolist(), strict=True)
    hypotheses = [Hypothesis.of(tokens, log_prob, False, settings.length_penalty) for tokens, log_prob in pairs]
    return [h for rank, h in enumerate(hypotheses[: settings.n_best]) if rank == 0 or h.log_prob > -inf]
