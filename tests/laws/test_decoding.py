"""Every model of the catalogue decodes alike: beam search, greedy search and scoring tell of one distribution."""

from __future__ import annotations

import pytest
import torch

from mtcli.decoding.beam import beam_search
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.sampling import greedy
from mtcli.decoding.scorer import score_pairs
from mtcli.settings import DecodingSettings, ModelSettings
from tests.decoding.toys import run
from tests.laws import models

ALL = pytest.mark.parametrize("settings", models.parameters())
SOURCES = models.sentences(9, [5, 1])
LIMITS = [5, 3]


def texts(found: list[list[Hypothesis]]) -> list[list[tuple[int, ...]]]:
    return [[hypothesis.tokens for hypothesis in each] for each in found]


@ALL
def test_a_beam_of_one_is_greedy_search(settings: ModelSettings) -> None:
    model = models.model(settings)
    expected = run(greedy, model, SOURCES, LIMITS, DecodingSettings(decoding="greedy"))
    assert texts(run(beam_search, model, SOURCES, LIMITS, DecodingSettings(beam_size=1))) == texts(expected)


@ALL
def test_a_beam_finds_the_same_alone_and_says_how_likely_it_is(settings: ModelSettings) -> None:
    model, wide = models.model(settings), DecodingSettings(beam_size=3, n_best=3)
    found = run(beam_search, model, SOURCES, LIMITS, wide)
    for source, limit, together in zip(SOURCES, LIMITS, found, strict=True):
        alone = run(beam_search, model, [source], [limit], wide)[0]
        assert texts([alone]) == texts([together])
        ended = [hypothesis for hypothesis in together if hypothesis.finished]
        scores = score_pairs(model, [source] * len(ended), [h.tokens for h in ended], 50, torch.device("cpu"))
        assert scores == pytest.approx([hypothesis.log_prob for hypothesis in ended])
