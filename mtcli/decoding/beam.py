"""Beam search with exact stopping, plain or in groups that avoid each other's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, inf
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtcli.decoding.contradiction import refuse_impossible
from mtcli.decoding.control import Control
from mtcli.decoding.coverage import Coverage
from mtcli.decoding.diverse import merged, of_one_group, raised, selected, unsettled
from mtcli.decoding.filters import exact, log_probs_of, precise
from mtcli.decoding.hypothesis import Hypothesis, normalised
from mtcli.decoding.request import Request
from mtcli.decoding.selection import best_continuations
from mtcli.layout import BOS, EOS
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.settings import DecodingSettings


@dataclass(frozen=True)
class Beams:
    """`k` hypotheses for each of the `b` sentences that are still searched, those to prefer first.

    A place without a hypothesis has the log-probability -inf. In diverse search each group of a sentence is searched
    as a sentence of its own, beside the sentence's other groups.
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

    Fewer than `n_best` come back if fewer end within the limit, or if groups find the same; if none ends, the
    unfinished ones do. `grow` chooses the continuations of each step, `extend` or `extend_in_turn` if it is not
    given. Raises `UsageError` if the settings contradict each other, or ask for what the model does not have.
    """
    refuse_impossible("beam", settings, model.supports_attention)
    groups, group, device = settings.diversity_groups, of_one_group(settings), memory.values.device
    found: list[list[Hypothesis]] = [[] for _ in requests for _ in range(groups)]
    of_groups = [request for request in requests for _ in range(groups)]
    limits = [request.limit for request in of_groups]
    coverage = Coverage.of(model, of_groups, settings, device)
    grow = grow or growing(requests, settings)
    beams = first(len(found), group.beam_size, device)
    state = model.start(memory, settings.beam_size)
    while True:
        logits, state = model.step(beams.tokens[:, :, -1].flatten(), state)
        candidates = grow(beams, logits)
        collect(candidates, found, group, coverage)
        beams = alive(candidates, group.beam_size)
        beams = beams.keep(unsettled(undecided(beams, found, limits, group, coverage), groups))
        if not beams.sentences:
            together = [found[i : i + groups] for i in range(0, len(found), groups)]
            return [merged(each, group.n_best, settings.n_best) for each in together]
        state = model.select(state, beams.rows.flatten())


def first(sentences: int, width: int, device: torch.device) -> Beams:
    """One hypothesis per sentence, BOS, and empty places beside it."""
    log_probs = torch.full((sentences, width), -inf, device=device, dtype=exact(device))
    log_probs[:, 0] = 0
    tokens = torch.full((sentences, width, 1), BOS, device=device)
    rows = torch.arange(sentences * width, device=device).view(sentences, width)
    return Beams(list(range(sentences)), rows, tokens, log_probs)


def growing(requests: Sequence[Request], settings: DecodingSettings) -> Grow:
    """How beams grow if nothing has to occur in a translation."""
    if settings.diversity_groups == 1:
        return partial(extend, control=Control.of(requests, settings))
    each = [request for request in requests for _ in range(settings.diversity_groups)]
    return partial(extend_in_turn, settings=settings, control=Control.of(each, settings))


def extend(
    beams: Beams,
    logits: Float[Tensor, "n v"],
    penalties: Float[Tensor, "n v"] | None = None,
    control: Control | None = None,
) -> Beams:
    """The best `2k` continuations of each sentence's `k` hypotheses: at most `k` end, so at least `k` go on.

    Which are best is judged after `penalties` were taken from them; their log-probabilities know of none.
    """
    (sentences, width, _), size = beams.tokens.shape, logits.shape[-1]
    possible = log_probs_of(logits)
    if control:
        possible = control(possible, beams.tokens[:, :, 1:].flatten(0, 1), beams.sentences)
    ranked = possible if penalties is None else possible - penalties
    log_probs, places = best_continuations(ranked.view(sentences, width, size), beams.log_probs, 2 * width)
    origin = places // size
    if penalties is not None:
        log_probs = beams.log_probs.gather(1, origin) + possible.view(sentences, -1).gather(1, places)
    return continued(beams, origin, places % size, log_probs)


def continued(
    beams: Beams, origin: Int[Tensor, "b c"], added: Int[Tensor, "b c"], log_probs: Float[Tensor, "b c"]
) -> Beams:
    """Each sentence's hypotheses `origin` with one token more."""
    sentences, width, _ = beams.tokens.shape
    past = beams.pick(origin).tokens
    rows = origin + width * torch.arange(sentences, device=origin.device)[:, None]
    return Beams(beams.sentences, rows, torch.cat([past, added[:, :, None]], -1), log_probs)


def extend_in_turn(
    beams: Beams, logits: Float[Tensor, "n v"], settings: DecodingSettings, control: Control | None
) -> Beams:
    """`extend` for each sentence's first group, then its second, ..., each avoiding the tokens of those before it.

    Vijayakumar et al. 2016, algorithm 1.
    """
    groups, width = settings.diversity_groups, beams.tokens.shape[1]
    by_group = logits.view(-1, groups, width, logits.shape[-1])
    penalties = torch.zeros_like(precise(by_group[:, 0, 0]))
    parts = []
    for group in range(groups):
        part = beams.keep(list(range(group, len(beams.sentences), groups)))
        part = extend(part, by_group[:, group].flatten(0, 1), penalties.repeat_interleave(width, 0), control)
        tokens = part.tokens[:, :, -1]
        taken = selected(tokens, part.log_probs, width)
        penalties = raised(penalties, tokens, taken, settings.diversity_strength)
        parts.append(part)
    return side_by_side(beams.sentences, parts, width)


def side_by_side(sentences: list[int], groups: list[Beams], width: int) -> Beams:
    """All groups' candidates, those of a sentence next to each other, with their rows among those of all groups."""
    rows, tokens, log_probs = (
        torch.stack([getattr(group, name) for group in groups], 1).flatten(0, 1)
        for name in ("rows", "tokens", "log_probs")
    )
    places = torch.arange(len(sentences), device=rows.device)[:, None]
    return Beams(sentences, rows % width + width * places, tokens, log_probs)


def collect(
    candidates: Beams, found: list[list[Hypothesis]], settings: DecodingSettings, coverage: Coverage | None
) -> None:
    """Add the candidates that end here, and are among the best `k`, to their sentence's `found`.

    One that ends beyond the best `k` is not collected, as another token would not be followed from there either:
    so a beam of 1 is greedy search, and a beam that is wide enough is exhaustive search. A group of diverse search
    that has enough goes on without collecting.
    """
    width, most = settings.beam_size, enough(settings)
    full = {sentence for sentence in candidates.sentences if len(found[sentence]) >= most}
    ended = (candidates.tokens[:, :width, -1] == EOS) & (candidates.log_probs[:, :width] > -inf)
    where = ended.nonzero()
    tokens = candidates.tokens[where[:, 0], where[:, 1], 1:-1].tolist()
    log_probs = candidates.log_probs[where[:, 0], where[:, 1]].tolist()
    new = [
        (sentence, Hypothesis.of(output, log_prob, True, settings))
        for (place, _), output, log_prob in zip(where.tolist(), tokens, log_probs, strict=True)
        if (sentence := candidates.sentences[place]) not in full
    ]
    for sentence, hypothesis in coverage(new) if coverage and new else new:
        found[sentence].append(hypothesis)


def alive(candidates: Beams, width: int) -> Beams:
    """The best `width` candidates of each sentence that do not end."""
    ended = candidates.tokens[:, :, -1] == EOS
    return candidates.pick(ended.byte().argsort(dim=-1, stable=True)[:, :width])


def undecided(
    beams: Beams,
    found: list[list[Hypothesis]],
    limits: list[int],
    settings: DecodingSettings,
    coverage: Coverage | None = None,
) -> list[int]:
    """The places in `beams` of the sentences whose search goes on; the others' results are complete in `found`."""
    places = []
    length = beams.tokens.shape[-1] - 1
    # Not the first of each: diverse search has them in the order of their penalised log-probabilities.
    likeliest = beams.log_probs.amax(-1).tolist()
    for place, (sentence, log_prob) in enumerate(zip(beams.sentences, likeliest, strict=True)):
        limit = limits[sentence]
        if length < limit and not decided(found[sentence], log_prob, limit, settings):
            places.append(place)
        elif not found[sentence]:
            found[sentence] = unfinished(beams, place, settings, coverage)
    return places


def decided(found: list[Hypothesis], log_prob: float, limit: int, settings: DecodingSettings) -> bool:
    """Whether a sentence has its results: as many as are waited for, or nothing alive can still join the best.

    The best hypothesis alive has `log_prob` and can only lose; were every further token certain, its score would
    be highest at the length limit (Huang et al. 2017, section 4).
    """
    if log_prob == -inf or len(found) >= enough(settings):
        return True
    if len(found) < settings.n_best:
        return False
    # A coverage penalty is never above 0, so no hypothesis scores more than its normalised log-probability.
    worst = sorted((h.score for h in found), reverse=True)[settings.n_best - 1]
    return worst >= normalised(log_prob, limit, settings)


def enough(settings: DecodingSettings) -> float:
    """How many ended hypotheses end the search for a sentence (Kasai et al. 2022); with a patience of 0 no number."""
    # Rounded, as 25 times 2.2 is a little more than 55.
    ended = ceil(round(settings.beam_size * settings.beam_patience, 6))
    return float(max(1, ended)) if settings.beam_patience else inf


def unfinished(beams: Beams, place: int, settings: DecodingSettings, coverage: Coverage | None) -> list[Hypothesis]:
    """A sentence's first `n_best` hypotheses without an end, but none for empty places.

    With a coverage penalty they are the `n_best` best ones.
    """
    pairs = zip(beams.tokens[place, :, 1:].tolist(), beams.log_probs[place].tolist(), strict=True)
    hypotheses = [Hypothesis.of(tokens, log_prob, False, settings) for tokens, log_prob in pairs]
    kept = [h for rank, h in enumerate(hypotheses) if rank == 0 or h.log_prob > -inf]
    if coverage:
        scored = [h for _, h in coverage([(beams.sentences[place], h) for h in kept])]
        kept = sorted(scored, key=lambda h: -h.score)
    return kept[: settings.n_best]
