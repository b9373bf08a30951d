"""Laws of beam search."""

from __future__ import annotations

import random

import pytest

from mtcli.decoding.beam import beam_search
from mtcli.decoding.sampling import greedy
from mtcli.settings import DecodingSettings
from tests.decoding.toys import Table, exhaustive, run

PENALTIES = (0.0, 0.6, 1.0)


def settings(**changes) -> DecodingSettings:
    return DecodingSettings(**{"decoding": "beam", **changes})


def sources_of(seed: int, count: int, vocabulary: int) -> list[list[int]]:
    numbers = random.Random(seed)
    return [[numbers.randrange(4, vocabulary) for _ in range(numbers.randrange(1, 7))] for _ in range(count)]


def limits_of(sources: list[list[int]]) -> list[int]:
    return [2 * len(source) + 1 for source in sources]


@pytest.mark.parametrize("grid", [0.0, 1.0])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_beam_of_one_is_greedy_search(penalty, grid):
    for seed in range(60):
        model = Table(vocabulary=9, seed=seed, ending=random.Random(seed).uniform(-2, 2), grid=grid)
        sources = sources_of(seed, 5, 9)
        wanted = settings(beam_size=1, length_penalty=penalty)
        args = (model, sources, limits_of(sources), wanted)
        assert run(beam_search, *args) == run(greedy, *args)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_wide_beam_is_exhaustive_search(penalty):
    for seed in range(12):
        model = Table(vocabulary=6, seed=seed, ending=random.Random(seed).uniform(-2, 1))
        sources, limits = [[4], [5, 4, 5]], [5, 3]
        results = run(beam_search, model, sources, limits, settings(beam_size=40, n_best=8, length_penalty=penalty))
        for source, limit, hypotheses in zip(sources, limits, results, strict=True):
            expected = exhaustive(model, source, limit, penalty)[:8]
            assert [h.tokens for h in hypotheses] == [tokens for _, _, tokens in expected]
            assert [h.score for h in hypotheses] == pytest.approx([score for score, _, _ in expected])
            assert [h.log_prob for h in hypotheses] == pytest.approx([log_prob for _, log_prob, _ in expected])
            assert all(h.finished for h in hypotheses)
