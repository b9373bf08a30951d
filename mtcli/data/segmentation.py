"""Random segmentations of a word into pieces: by likelihood for unigram models, by left-out merges for BPE.

One random number decides: a choice takes the part of the number that it needs, and what is left is again uniform and
goes to the next choice. So a segmentation is a function of the word and the number, and takes no generator.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import Protocol

Pieces = tuple[int, ...]
# Words, and ways to go on from a dropped merge, that are remembered: nearly all of a text's, as words are Zipf's.
# Measured on Multi30k, for both sides: 96 MB for BPE, 42 MB for unigram.
WORDS, DETOURS = 1 << 15, 1 << 14
NONE, NEVER = -1, -math.inf
"""No piece, and its score."""
LEAST, NEARLY_ONE = 2.0**-53, 1 - 2.0**-32


@dataclass(frozen=True)
class Vocabulary:
    """Pieces by number: how each is written, and its score; `NEVER` for one that segmentation may not use."""

    names: Sequence[str]
    scores: Sequence[float]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Which piece has a name."""
        return {name: number for number, name in enumerate(self.names) if self.scores[number] > NEVER}

    def written(self, pieces: Sequence[int]) -> str:
        """The text of pieces."""
        return "".join([self.names[piece] for piece in pieces])


class Segmenter(Protocol):
    """A distribution over the segmentations of each word."""

    def draw(self, plain: Pieces, number: float) -> Pieces:
        """The segmentation that a number out of [0, 1) stands for, of the word that plain ones are written."""


class UnigramSampling:
    """Every segmentation in proportion to its likelihood to the power of 1 / temperature.

    Kudo 2018, section 3.3, with l of infinity and alpha = 1 / temperature: forward filtering, backward sampling.
    """

    def __init__(self, vocabulary: Vocabulary, temperature: float) -> None:
        """Scores are log-probabilities."""
        self.vocabulary = vocabulary
        self.temperature = temperature
        self.longest = max(map(len, vocabulary.numbers))
        self.lattice = lru_cache(WORDS)(self._lattice)

    def draw(self, plain: Pieces, number: float) -> Pieces:
        """Piece by piece from the end."""
        bounds, pieces = self.lattice(plain)
        names, end, found = self.vocabulary.names, int(bounds[-1]), []
        while end:
            place = end - 1 + min(number, NEARLY_ONE)
            choice = bisect_right(bounds, place)
            low = max(bounds[choice - 1], end - 1)
            number = (place - low) / (bounds[choice] - low)
            found.append(pieces[choice])
            end -= len(names[pieces[choice]])
        found.reverse()
        return tuple(found)

    def _lattice(self, plain: Pieces) -> tuple[array[float], array[int]]:
        """The pieces that may come last before each end, and where the parts end that stand for them.

        The probabilities of those before the end 1 fill the line from 0 to 1, before the end 2 from 1 to 2, ...
        """
        word = self.vocabulary.written(plain)
        numbers, scores = self.vocabulary.numbers, self.vocabulary.scores
        sums, bounds, pieces = [0.0], array("d", [0.0]), array("L", [0])
        for end in range(1, len(word) + 1):
            found = [
                (piece, sums[start] + scores[piece] / self.temperature)
                for start in range(max(0, end - self.longest), end)
                if sums[start] > NEVER and (piece := numbers.get(word[start:end])) is not None
            ]
            top = max((log for _, log in found), default=NEVER)
            weights = [*accumulate(math.exp(log - top) for _, log in found)]
            sums.append(top + math.log(weights[-1]) if found else NEVER)
            bounds.extend(end - 1 + weight / weights[-1] for weight in weights)
            pieces.extend(piece for piece, _ in found)
        return bounds, pieces


@dataclass(frozen=True, slots=True)
class Route:
    """Pieces, and what each best merge makes of them, to the end."""

    steps: tuple[Pieces, ...]
    certain: float
    """The probability that no merge is dropped."""
    merges: list[tuple[int, ...] | None]
    """For each step but the last, once it was needed, what can be merged: see `BpeDropout.merges`."""


class BpeDropout:
    """Merges as BPE does, the best first, each possible one left out with probability `dropout` at every step.

    Provilkov et al. 2020, algorithm 1. What is left out is a place: the same pair may be merged elsewhere.
    """

    def __init__(self, vocabulary: Vocabulary, dropout: float) -> None:
        """The higher the score of a piece, the earlier it is merged; 0 < dropout < 1."""
        self.vocabulary = vocabulary
        self.scores = [*vocabulary.scores, NEVER]  # so that `NONE` has one
        self.kept = Chance(1 - dropout, math.log1p(-dropout))
        self.dropped = Chance(dropout, math.log(dropout))
        self.begun = lru_cache(WORDS)(self._begun)
        self.route = lru_cache(DETOURS)(self._route)

    def draw(self, plain: Pieces, number: float) -> Pieces:
        """From characters on: how often in a row the best merge is kept, how many are dropped then, and so forth."""
        route = self.begun(plain)
        number = 1 - number
        while number > route.certain:
            kept, number = self.kept.runs(number)
            kept = min(kept, len(route.merges) - 1)  # at the border to certainty, rounding may say one more
            pieces, merges = route.steps[kept], route.merges[kept]
            if merges is None:
                merges = route.merges[kept] = self.merges(pieces)
            dropped, number = self.dropped.runs(number)
            if dropped + 1 >= len(merges):
                return pieces
            place = merges[dropped + 1]
            joined = self.joined(pieces[place : place + 2])
            route = self.route((*pieces[:place], *joined, *pieces[place + 2 :]))
        return route.steps[-1]

    def _begun(self, plain: Pieces) -> Route:
        """The route from characters; plain pieces stay if a character is no piece."""
        characters = [self.vocabulary.numbers.get(character, NONE) for character in self.vocabulary.written(plain)]
        return Route((plain,), 1.0, []) if NONE in characters else self._route(tuple(characters))

    def _route(self, pieces: Pieces) -> Route:
        """From any pieces on."""
        steps, rest, joined = [pieces], [*pieces], self.joined(pieces)
        while (best := max(scores := [self.scores[piece] for piece in joined], default=NEVER)) > NEVER:
            place = scores.index(best)
            rest[place : place + 2] = [joined[place]]
            beside = slice(max(0, place - 1), place + 2)
            joined[beside] = self.joined(rest[beside])
            steps.append(tuple(rest))
        return Route(tuple(steps), self.kept.share ** (len(steps) - 1), [None] * (len(steps) - 1))

    def merges(self, pieces: Pieces) -> tuple[int, ...]:
        """The places of pieces that can be merged with the next one, best first, of equals the left one."""
        scores = [self.scores[piece] for piece in self.joined(pieces)]
        order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
        return tuple(order[: len(scores) - scores.count(NEVER)])

    def joined(self, pieces: Sequence[int]) -> list[int]:
        """The piece that each one and the next would become, or `NONE`."""
        names, numbers = self.vocabulary.names, self.vocabulary.numbers
        return [numbers.get(names[left] + names[right], NONE) for left, right in pairwise(pieces)]


@dataclass(frozen=True)
class Chance:
    """The probability of what may happen again and again."""

    share: float
    log: float

    def runs(self, number: float) -> tuple[int, float]:
        """How often it happens in a row, which is geometric, and what is left of a number uniform over (0, 1]."""
        count = int(math.log(number) / self.log)
        left = (number / self.share**count - self.share) / (1 - self.share)
        return count, min(max(left, LEAST), 1.0)
