"""Diverse beam search against a naive loop written from Vijayakumar et al. 2016, algorithm 1."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch

from mtcli.decoding import beam
from mtcli.decoding.beam import Beams, beam_search, undecided
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.errors import UsageError
from mtcli.layout import BOS, EOS
from mtcli.settings import DecodingSettings
from tests.decoding.toys import DIVISORS, Table, forced, limits_of, log_softmax, run, sources_of


def settings(**changes) -> DecodingSettings:
    return DecodingSettings(**{"diversity_groups": 3, "beam_size": 6, **changes})


def naive_groups(model: Table, source, limit: int, wanted: DecodingSettings):
    """(score, log_prob, tokens, finished) of what each group finds; nothing stops before the limit."""
    groups, width = wanted.diversity_groups, wanted.beam_size // wanted.diversity_groups
    alive = [[((), 0.0)] for _ in range(groups)]
    found = [[] for _ in range(groups)]
    for length in range(1, limit + 1):
        before = Counter()
        for group in range(groups):
            options = []
            for tokens, log_prob in alive[group]:
                log_probs = log_softmax(model.logits((*source, EOS), (BOS, *tokens)))
                for token in range(EOS, model.vocabulary):
                    total = log_prob + log_probs[token]
                    options.append((total - wanted.diversity_strength * before[token], total, tokens, token))
            options.sort(reverse=True)
            ending = [option for option in options[:width] if option[-1] == EOS]
            going = [option for option in options if option[-1] != EOS][:width]
            if not wanted.beam_patience or len(found[group]) < width * wanted.beam_patience:
                found[group] += [
                    (scored(total, length, wanted), total, tokens, True) for _, total, tokens, _ in ending
                ]
            alive[group] = [((*tokens, token), total) for _, total, tokens, token in going]
            before.update(token for *_, token in ending + going)
    return [
        sorted(found[group] or [(scored(p, limit, wanted), p, t, False) for t, p in alive[group]], reverse=True)[
            : min(width, wanted.n_best)
        ]
        for group in range(groups)
    ]


def scored(log_prob: float, length: int, wanted: DecodingSettings) -> float:
    return log_prob / DIVISORS[wanted.length_normalization](length) ** wanted.length_penalty


def naive(model: Table, source, limit: int, wanted: DecodingSettings):
    """The groups' best, then their second best, ..., as long as there is room, each text once."""
    groups = naive_groups(model, source, limit, wanted)
    if any(hypothesis[-1] for group in groups for hypothesis in group):
        groups = [group for group in groups if group and group[0][-1]]
    chosen = []
    for rank in range(wanted.beam_size):
        for hypothesis in sorted((group[rank] for group in groups if rank < len(group)), reverse=True):
            if len(chosen) < wanted.n_best and hypothesis[2] not in [tokens for _, _, tokens, _ in chosen]:
                chosen.append(hypothesis)
    return sorted(chosen, reverse=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_best": 6},
        {"n_best": 3, "diversity_strength": 5.0},
        {"n_best": 1, "beam_patience": 0},
        {"n_best": 5, "beam_patience": 2, "length_normalization": "gnmt", "length_penalty": 0.6},
        {"n_best": 6, "diversity_groups": 2, "length_normalization": "none"},
        {"n_best": 4, "diversity_groups": 6},
        {"n_best": 6, "diversity_groups": 1},
    ],
)
def test_it_finds_what_the_papers_loop_finds(changes):
    wanted = settings(**changes)
    for seed in range(9):
        model, sources = Table(9, seed, ending=random.Random(seed).uniform(-2, 2)), sources_of(seed, 2, 9)
        limits = limits_of(sources)
        results = run(beam_search, model, sources, limits, wanted)
        for source, limit, hypotheses in zip(sources, limits, results, strict=True):
            expected = naive(model, source, limit, wanted)
            assert [(h.tokens, h.finished) for h in hypotheses] == [(tokens, end) for _, _, tokens, end in expected]
            assert [h.score for h in hypotheses] == pytest.approx([score for score, *_ in expected])
            for h in hypotheses:
                assert h.log_prob == pytest.approx(forced(model, source, h.tokens, h.finished))


def test_groups_that_do_not_care_find_what_one_of_them_finds():
    for seed in range(5):
        sources = sources_of(seed, 3, 9)
        args = (Table(9, seed), sources, limits_of(sources))
        grouped = run(beam_search, *args, settings(n_best=2, diversity_strength=0))
        assert grouped == run(beam_search, *args, settings(n_best=2, beam_size=2, diversity_groups=1))


def test_groups_that_care_most_begin_differently():
    sources = sources_of(1, 5, 20)
    wanted = settings(diversity_groups=6, n_best=6, diversity_strength=1e4)
    for hypotheses in run(beam_search, Table(20, seed=1, ending=-9), sources, limits_of(sources), wanted):
        assert len({h.tokens[:1] for h in hypotheses}) == 6


def test_stopping_early_changes_nothing_but_the_number_of_steps(monkeypatch):
    results, steps = [], []
    for _ in range(2):
        model = Table(9, seed=7, ending=1.0)
        sources = sources_of(7, 20, 9)
        results.append(run(beam_search, model, sources, limits_of(sources), settings(length_penalty=0)))
        steps.append(model.rows_stepped)
        monkeypatch.setattr(beam, "normalised", lambda *_: float("inf"))
    assert results[0] == results[1]
    assert steps[0] < steps[1]


@pytest.mark.parametrize(("log_probs", "going"), [([-5.0, -1.0], [0]), ([-1.0, -5.0], [0]), ([-5.0, -4.0], [])])
def test_the_likeliest_alive_keeps_a_search_going_wherever_it_stands(log_probs, going):
    """Hypotheses alive stand in the order of their penalised log-probabilities."""
    alive = Beams([0], torch.zeros(1, 2).long(), torch.zeros(1, 2, 3).long(), torch.tensor([log_probs]))
    found = [[Hypothesis((4,), -3.0, -3.0, True)]]
    assert undecided(alive, found, [9], DecodingSettings(beam_size=2, length_normalization="none")) == going


@pytest.mark.parametrize("grid", [0.0, 1.0])
def test_a_translation_does_not_depend_on_the_batch_around_it(grid):
    for seed in range(4):
        model, sources = Table(9, seed, ending=1.0, grid=grid), sources_of(seed, 5, 9)
        limits, wanted = limits_of(sources), settings(n_best=4)
        together = run(beam_search, model, sources, limits, wanted)
        assert together == [
            run(beam_search, model, [s], [n], wanted)[0] for s, n in zip(sources, limits, strict=True)
        ]


def test_groups_that_do_not_divide_the_beam_are_refused():
    with pytest.raises(UsageError, match="a beam of 5 cannot be divided into 2 groups"):
        run(beam_search, Table(9, seed=0), [[4]], [3], settings(beam_size=5, diversity_groups=2))
