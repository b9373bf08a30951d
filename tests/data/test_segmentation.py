"""Random pieces of a word have the probabilities that the papers say, all of them, and take one random number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
import pytest
from scipy import stats

from mtcli.data.segmentation import NEVER, BpeDropout, Segmenter, UnigramSampling, Vocabulary
from mtcli.data.subwords import keys_of, uniforms

LIKELY = {"a": -2.0, "b": -2.5, "c": -3.0, "ab": -3.0, "bc": -4.5, "ca": -4.0, "abc": -5.0, "cab": -4.8, "bcab": -7.0}
"""Log-probabilities, as a unigram model has them."""

RANKED = {"a": -9.0, "b": -8.0, "c": -7.0, "ab": 0.0, "bc": -1.0, "ca": -2.0, "abc": -3.0, "cab": -4.0, "abca": -5.0}
"""The earlier a piece is merged, the higher, as a BPE model has them."""

WORD = "abcabc"
DRAWN = 20_000

Written = tuple[str, ...]


def vocabulary(scores: Mapping[str, float]) -> Vocabulary:
    """The pieces, after one that may not be used."""
    return Vocabulary(["ab!", *scores], [NEVER, *scores.values()])


def counted(segmenter: UnigramSampling | BpeDropout, word: str, numbers: np.ndarray) -> Counter[Written]:
    names = segmenter.vocabulary.names
    plain = tuple(names.index(character) for character in word)
    return Counter(tuple(names[piece] for piece in segmenter.draw(plain, number)) for number in numbers.tolist())


def segmentations(word: str, scores: Mapping[str, float]) -> Iterator[Written]:
    """Every way to write a word in pieces."""
    if not word:
        yield ()
    for end in range(1, len(word) + 1):
        if word[:end] in scores:
            yield from ((word[:end], *rest) for rest in segmentations(word[end:], scores))


def smoothed(word: str, temperature: float) -> dict[Written, float]:
    """Kudo 2018, section 3.3: P(x|X) is P(x)**alpha over the sum of these; alpha is 1 / temperature."""
    weights = {
        pieces: math.exp(sum(LIKELY[piece] for piece in pieces)) ** (1 / temperature)
        for pieces in segmentations(word, LIKELY)
    }
    return {pieces: weight / sum(weights.values()) for pieces, weight in weights.items()}


def left_out(pieces: Written, dropout: float) -> dict[Written, float]:
    """Provilkov et al. 2020, algorithm 1, for every choice of the merges that are left out at each step."""
    places = [place for place in range(len(pieces) - 1) if pieces[place] + pieces[place + 1] in RANKED]
    found: Counter[Written] = Counter()
    for dropped in product([False, True], repeat=len(places)):
        share = math.prod(dropout if each else 1 - dropout for each in dropped)
        kept = [place for place, each in zip(places, dropped, strict=True) if not each]
        if not kept:
            found.update({pieces: share})
            continue
        best = max(kept, key=lambda place: (RANKED[pieces[place] + pieces[place + 1]], -place))
        after = (*pieces[:best], pieces[best] + pieces[best + 1], *pieces[best + 2 :])
        found.update({result: share * further for result, further in left_out(after, dropout).items()})
    return dict(found)


CASES = [
    *(pytest.param(UnigramSampling(vocabulary(LIKELY), t), smoothed(WORD, t), id=f"t{t}") for t in (0.5, 1, 5, 99)),
    *(
        pytest.param(BpeDropout(vocabulary(RANKED), p), left_out(tuple(WORD), p), id=f"p{p}")
        for p in (0.01, 0.1, 0.5, 0.9)
    ),
]


@pytest.mark.parametrize(("segmenter", "expected"), CASES)
def test_numbers_spread_evenly_give_each_segmentation_its_share(
    segmenter: Segmenter, expected: dict[Written, float]
) -> None:
    assert sum(expected.values()) == pytest.approx(1)
    assert len(expected) > 8
    found = counted(segmenter, WORD, (np.arange(DRAWN) + 0.5) / DRAWN)  # type: ignore[arg-type]
    assert set(found) <= set(expected)
    for pieces, probability in expected.items():
        # Each way to a segmentation is a part of [0, 1) without gaps, which gains or loses less than one number.
        assert found[pieces] / DRAWN == pytest.approx(probability, abs=60 / DRAWN)


@pytest.mark.parametrize(("segmenter", "expected"), CASES)
def test_random_numbers_give_each_segmentation_as_often_as_chance_does(
    segmenter: Segmenter, expected: dict[Written, float]
) -> None:
    keys = keys_of([1, 2, 0], np.arange(DRAWN))
    found = counted(segmenter, WORD, uniforms(keys, np.zeros(DRAWN, np.int64)))  # type: ignore[arg-type]
    common = [pieces for pieces, probability in expected.items() if DRAWN * probability >= 10]
    observed, wanted = [found[pieces] for pieces in common], [DRAWN * expected[pieces] for pieces in common]
    observed, wanted = [*observed, DRAWN - sum(observed)], [*wanted, DRAWN - sum(wanted)]
    if wanted[-1] < 10:
        observed, wanted = observed[:-1], [each * sum(observed[:-1]) / sum(wanted[:-1]) for each in wanted[:-1]]
    assert stats.chisquare(observed, wanted).pvalue > 0.01


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_a_single_merge_survives_unless_it_is_left_out(dropout: float) -> None:
    numbers = uniforms(keys_of([7], np.arange(DRAWN)), np.zeros(DRAWN, np.int64))
    found = counted(BpeDropout(vocabulary(RANKED), dropout), "ab", numbers)
    assert set(found) == {("ab",), ("a", "b")}
    assert stats.binomtest(found["ab",], DRAWN, 1 - dropout).pvalue > 0.01


@pytest.mark.parametrize("number", [0.0, 2.0**-53, 0.5, 1 - 2.0**-53])
def test_every_number_is_a_segmentation_of_the_word(number: float) -> None:
    for segmenter in (
        *(UnigramSampling(vocabulary(LIKELY), temperature) for temperature in (1e-3, 1.0, 1e6)),
        *(BpeDropout(vocabulary(RANKED), dropout) for dropout in (1e-17, 1e-9, 0.5, 1 - 1e-9)),
    ):
        for repeats in (1, 2, 50):
            (pieces,) = counted(segmenter, WORD * repeats, np.array([number]))
            assert "".join(pieces) == WORD * repeats


def test_a_word_whose_characters_are_no_pieces_keeps_the_plain_ones_as_a_choice() -> None:
    known = vocabulary({"ab": -1.0, "abc": -2.0, "c": -3.0})
    plain = (known.names.index("abc"), known.names.index("ab"))
    apart = (known.names.index("ab"), known.names.index("c"), known.names.index("ab"))
    numbers = np.linspace(0, 0.999, 50).tolist()
    assert {UnigramSampling(known, 1.0).draw(plain, number) for number in numbers} == {plain, apart}
    assert {BpeDropout(known, 0.5).draw(plain, number) for number in numbers} == {plain}
