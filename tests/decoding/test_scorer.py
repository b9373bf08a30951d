"""Forced log-probabilities against a naive loop and against what the searches report."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from mtcli.decoding import scorer
from mtcli.decoding.beam import beam_search
from mtcli.decoding.scorer import score_pairs, score_tokens
from mtcli.settings import DecodingSettings
from tests.decoding.toys import Table, forced, limits_of, run, sources_of

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch_tokens", [1, 20, 1000])
@pytest.mark.parametrize("logits", [1, 30, 2**24])
def test_scores_are_those_of_a_naive_loop_in_the_order_given(batch_tokens, logits, monkeypatch):
    monkeypatch.setattr(scorer, "LOGITS", logits)
    model = Table(9, seed=4)
    sources, targets = sources_of(1, 20, 9), sources_of(2, 20, 9)
    targets[3] = []
    expected = [forced(model, s, t, finished=True) for s, t in zip(sources, targets, strict=True)]
    assert score_pairs(model, sources, targets, batch_tokens, CPU) == pytest.approx(expected)
    tokens = score_tokens(model, sources, targets, batch_tokens, CPU)
    assert [len(each) for each in tokens] == [len(target) + 1 for target in targets]
    for source, target, each in zip(sources, targets, tokens, strict=True):
        parts = [forced(model, source, target[:t], finished=False) for t in range(len(target) + 1)]
        parts.append(forced(model, source, target, finished=True))
        assert each == pytest.approx([after - before for before, after in pairwise(parts)])


def test_the_scorer_agrees_with_beam_search():
    for seed in range(10):
        model, sources = Table(9, seed, ending=1.0), sources_of(seed, 5, 9)
        found = run(beam_search, model, sources, limits_of(sources), DecodingSettings(n_best=3))
        pairs = [(s, h) for s, each in zip(sources, found, strict=True) for h in each if h.finished]
        scores = score_pairs(model, [s for s, _ in pairs], [h.tokens for _, h in pairs], 100, CPU)
        assert scores == pytest.approx([h.log_prob for _, h in pairs])


def test_nothing_to_score():
    assert score_pairs(Table(9, seed=0), [], [], 100, CPU) == []


def test_sides_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        score_pairs(Table(9, seed=0), [[4]], [], 100, CPU)
