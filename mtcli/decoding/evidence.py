"""How translations came about: their pieces, how likely each was, and at which source words they look.

All of it is computed after the search, from finished translations, so that a search pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch

from mtcli.decoding.alignment import Links, links
from mtcli.decoding.inference import over_pairs
from mtcli.decoding.places import places
from mtcli.decoding.scorer import score_tokens
from mtcli.decoding.searcher import Part
from mtcli.decoding.translator import TextHypothesis, Translation
from mtcli.layout import EOS, Batch
from mtcli.model.seq2seq import Seq2Seq


class ReadableTokenizer(Protocol):
    """What evidence needs of a tokenizer."""

    def pieces_target(self, tokens: Sequence[int]) -> list[str]:
        """How the vocabulary writes each target token."""

    def surfaces_source(self, line: str) -> list[str]:
        """What each token of a source line adds to its text."""

    def surfaces_target(self, tokens: Sequence[int]) -> list[str]:
        """What each target token adds to its text."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one translation; of a line translated in parts, what is known of these in a row."""

    pieces: tuple[str, ...]
    """Its tokens as the vocabulary writes them, and the end of each part that was not cut."""
    log_probs: tuple[float, ...]
    """How likely each of them was after those before it."""
    links: Links | None
    """At which source word each of its words looks; None if the model has no weights."""


class Examiner:
    """Looks at translations once more, with the model that made them."""

    def __init__(
        self, model: Seq2Seq[Any], tokenizer: ReadableTokenizer, batch_tokens: int, device: torch.device
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.batch_tokens = batch_tokens
        self.device = device

    def evidence(self, translations: Sequence[Translation]) -> list[list[Evidence]]:
        """The evidence for every hypothesis of each translation."""
        found = [[[*segments(t, hypothesis)] for hypothesis in t.hypotheses] for t in translations]
        each = iter(self.evidence_of([segment for line in found for of_one in line for segment in of_one]))
        return [[together([next(each) for _ in of_one]) for of_one in line] for line in found]

    def alignments(self, translations: Sequence[Translation]) -> list[Links]:
        """The links of the best hypothesis of each translation; the model must have weights."""
        found = [[*segments(t, t.hypotheses[0])] if t.hypotheses else [] for t in translations]
        each = iter(self.links([segment for of_one in found for segment in of_one]))
        return [tuple(link for _ in of_one for link in next(each)) for of_one in found]

    def evidence_of(self, found: Sequence[Segment]) -> list[Evidence]:
        """The evidence for each segment."""
        scored = score_tokens(self.model, *tokens_of(found), self.batch_tokens, self.device)
        aligned = self.links(found) if self.model.supports_attention else [None] * len(found)
        return [
            Evidence(tuple(pieces), tuple(log_probs[: len(pieces)]), pairs)
            for pieces, log_probs, pairs in zip(map(self.pieces, found), scored, aligned, strict=True)
        ]

    def pieces(self, segment: Segment) -> list[str]:
        """The tokens of a translation, with EOS if it has ended."""
        target = segment.target
        return self.tokenizer.pieces_target([*target.tokens, EOS] if target.finished else target.tokens)

    def links(self, found: Sequence[Segment]) -> list[Links]:
        """At which source word each target word of each segment looks, both numbered through the whole line."""

        def of_batch(batch: Batch, chosen: list[int]) -> list[Links]:
            # Links at once: the weights of a thousand long sentences would not fit into memory.
            weights = self.model.attention(batch)
            return [self.linked(found[place], row) for place, row in zip(chosen, weights, strict=True)]

        return over_pairs(self.model, *tokens_of(found), self.batch_tokens, self.device, of_batch)

    def linked(self, segment: Segment, weights: torch.Tensor) -> Links:
        """The links of one segment, from the weights (t s) of its target tokens."""
        source = places(self.tokenizer.surfaces_source(segment.source.text))
        target = places(self.tokenizer.surfaces_target(segment.target.tokens))
        first_source, first_target = segment.first
        return tuple((first_source + i, first_target + j) for i, j in links(weights, source, target))


@dataclass(frozen=True)
class Segment:
    """A part of a line, its translation, and the numbers of the first word of each."""

    source: Part
    target: TextHypothesis
    first: tuple[int, int]


def segments(translation: Translation, hypothesis: TextHypothesis) -> Iterator[Segment]:
    """The parts in which a line was translated, usually one, each with its translation."""
    targets = hypothesis.parts or (hypothesis,)
    of_source = first_words(translation.source, [part.text for part in translation.parts])
    of_target = first_words(hypothesis.text, [part.text for part in targets])
    for source, target, *first in zip(translation.parts, targets, of_source, of_target, strict=True):
        yield Segment(source, target, (first[0], first[1]))


def first_words(text: str, parts: Sequence[str]) -> list[int]:
    """The number, from 0, of the first word of each part of a text; a word that is cut has its number in both."""
    cuts = [0]
    for part in parts:
        start = text.find(part, cuts[-1])  # between parts there is nothing but white space
        cuts.append(start + len(part))
    starts = [end - len(part) for end, part in zip(cuts[1:], parts, strict=True)]
    pieces = [text[start:end] for start, end in pairwise([0, *starts, len(text)])]
    return [(touched or [0])[0] for touched in places(pieces)[1:]]


def best_links(evidence: Sequence[Sequence[Evidence]]) -> list[Links]:
    """The links of the best hypothesis of each translation, none of what has none."""
    return [(of_line[0].links or ()) if of_line else () for of_line in evidence]


def tokens_of(found: Sequence[Segment]) -> tuple[list[list[int]], list[tuple[int, ...]]]:
    """The source tokens and the target tokens of each segment."""
    return [segment.source.tokens for segment in found], [segment.target.tokens for segment in found]


def together(parts: Sequence[Evidence]) -> Evidence:
    """The evidence for a line from that for its parts."""
    aligned = [part.links for part in parts if part.links is not None]
    return Evidence(
        pieces=tuple(piece for part in parts for piece in part.pieces),
        log_probs=tuple(log_prob for part in parts for log_prob in part.log_probs),
        links=tuple(link for pairs in aligned for link in pairs) if len(aligned) == len(parts) else None,
    )
