"""Beam search for translations that contain given words: places in the beam are shared among banks.

A bank holds the hypotheses that have met the same number of required tokens (Post & Vilar 2018, dynamic beam
allocation). Every hypothesis is offered the tokens that bring it further, likely or not. The best one of each bank
is kept, from the fullest bank down, then the second best of each, and so on (Hu et al. 2019). So the fullest bank
gains a token in every step, and no translation ends before it has all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtcli.decoding.beam import Beams, beam_search, continued
from mtcli.decoding.control import Control
from mtcli.decoding.filters import log_probs_of, no_end, unless_nothing_is_left
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.request import Request
from mtcli.decoding.required import Progress
from mtcli.decoding.selection import best
from mtcli.layout import EOS, PAD
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.settings import DecodingSettings


def bank_search(
    model: Seq2Seq[Any],
    memory: Memory,
    requests: Sequence[Request],
    settings: DecodingSettings,
) -> list[list[Hypothesis]]:
    """Beam search in which every sentence gets the words that its request requires, if its limit has room for them.

    A sentence without such words is translated as by `beam_search`.
    """
    control = Control.of(requests, settings) or Control(requests, 0)
    return beam_search(model, memory, requests, settings, Banks(requests, control).extend)


class Candidate(NamedTuple):
    """A continuation of one hypothesis of a sentence by one token."""

    log_prob: float
    origin: int
    token: int
    bank: int = 0
    satisfied: bool = True
    """Whether the translation, were it to end here, would have all its words."""


@dataclass(frozen=True)
class Banks:
    """What extends beams here, in place of `extend`."""

    requests: Sequence[Request]
    control: Control

    def extend(self, beams: Beams, logits: Float[Tensor, "n v"]) -> Beams:
        """The `2k` continuations of each sentence that come first when its banks take turns."""
        width = beams.tokens.shape[1]
        progress = self.progress(beams)
        log_probs, tokens = self.offers(beams, logits, progress)
        chosen = []
        for place, sentence in enumerate(beams.sentences):
            reached = progress[place * width : (place + 1) * width]
            found = candidates(log_probs[place].tolist(), tokens[place].tolist(), reached)
            if beams.tokens.shape[-1] == self.requests[sentence].limit:
                found = last_chance(found)
            chosen.append(in_turns(found)[: 2 * width])
        origin, added = (
            torch.tensor([[candidate[field] for candidate in each] for each in chosen], device=logits.device)
            for field in (1, 2)
        )
        gained = [[candidate.log_prob for candidate in each] for each in chosen]
        return continued(beams, origin, added, torch.tensor(gained, dtype=log_probs.dtype, device=log_probs.device))

    def progress(self, beams: Beams) -> list[Progress | None]:
        """What each hypothesis has met; None where nothing is required, or is no hypothesis."""
        required = [self.requests[sentence].required for sentence in beams.sentences for _ in beams.rows[0]]
        tokens, log_probs = beams.tokens[:, :, 1:].flatten(0, 1), beams.log_probs.flatten()
        rows = zip(required, tokens.tolist(), log_probs.tolist(), strict=True)
        return [of.progress(each) if of and log_prob > -inf else None for of, each, log_prob in rows]

    def offers(
        self, beams: Beams, logits: Float[Tensor, "n v"], progress: Sequence[Progress | None]
    ) -> tuple[Float[Tensor, "b k c"], Int[Tensor, "b k c"]]:
        """The log-probabilities and last tokens of the continuations among which to choose, none of them twice.

        They are the `2k` best of every hypothesis, those that bring it further, which n-gram blocking does not hold
        up, and one that keeps it from losing a word to the letters behind it.
        """
        sentences, width, _ = beams.tokens.shape
        past = beams.tokens[:, :, 1:].flatten(0, 1)
        obeyed = self.control.obey(log_probs_of(logits), past, beams.sentences)
        possible = self.control.long_enough(obeyed, past, beams.sentences)
        unrepeated = self.control.unrepeated(possible, past)
        unmet = torch.tensor([bool(each and not each.satisfied) for each in progress], device=logits.device)
        top, likely = best(no_end(unrepeated, unmet), min(2 * width, logits.shape[-1]))
        needed = torch.cat([required_next(progress).to(logits.device), closing(unrepeated, possible, progress)], -1)
        known = ((needed[:, :, None] == likely[:, None, :]) & (top > -inf)[:, None, :]).any(-1)
        added = possible.gather(-1, needed).masked_fill(known, -inf)
        gained = torch.cat([top, added], -1)
        log_probs = beams.log_probs[:, :, None] + gained.view(sentences, width, -1)
        return log_probs, torch.cat([likely, needed], -1).view(sentences, width, -1)


def required_next(progress: Sequence[Progress | None]) -> Int[Tensor, "n c"]:
    """The tokens that bring each hypothesis further, and one that is never chosen in place of none."""
    rows = [sorted(each.following) if each else [] for each in progress]
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows], dtype=torch.long)


def closing(
    wanted: Float[Tensor, "n v"], otherwise: Float[Tensor, "n v"], progress: Sequence[Progress | None]
) -> Int[Tensor, "n 1"]:
    """The best token after which the last word of a hypothesis is whole, if that matters."""
    tokens = torch.full((len(progress), 1), PAD, device=wanted.device)
    for row, each in enumerate(progress):
        if each and each.hanging:
            separators = each.required.finder.spelling.separators
            possible = unless_nothing_is_left(wanted[row, separators][None], otherwise[row, separators][None])
            tokens[row] = separators[possible.argmax()]
    return tokens


def candidates(
    log_probs: list[list[float]], tokens: list[list[int]], progress: Sequence[Progress | None]
) -> list[Candidate]:
    """The continuations of one sentence's hypotheses."""
    found = []
    for origin, (offered, reached) in enumerate(zip(zip(log_probs, tokens, strict=True), progress, strict=True)):
        for log_prob, token in zip(*offered, strict=True):
            if reached is None or log_prob == -inf:
                found.append(Candidate(log_prob, origin, token))
                continue
            after = reached if token == EOS else reached.after(token)
            found.append(Candidate(log_prob, origin, token, after.bank, after.satisfied))
    return found


def last_chance(found: list[Candidate]) -> list[Candidate]:
    """The same, but without hope for those who lack a word, if any has all: the limit ends the translation here."""
    if not any(candidate.satisfied and candidate.log_prob > -inf for candidate in found):
        return found
    return [candidate if candidate.satisfied else candidate._replace(log_prob=-inf) for candidate in found]


def in_turns(found: list[Candidate]) -> list[Candidate]:
    """The best of each bank, from the fullest bank down; then their second best, and so on."""
    places: Counter[int] = Counter()
    turns = []
    ordered = sorted(found, key=lambda candidate: -candidate.log_prob)
    for candidate in ordered:
        turns.append((candidate.log_prob == -inf, places[candidate.bank], -candidate.bank))
        places[candidate.bank] += 1
    return [candidate for _, candidate in sorted(zip(turns, ordered, strict=True), key=lambda pair: pair[0])]
