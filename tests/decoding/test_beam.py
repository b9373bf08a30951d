"""Laws of beam search."""

from __future__ import annotations

import random
from math import inf

import pytest

from mtcli.decoding import beam
from mtcli.decoding.beam import beam_search
from mtcli.decoding.sampling import greedy
from mtcli.errors import UsageError
from mtcli.settings import DecodingSettings
from tests.decoding.toys import DIVISORS, Forgetful, Table, exhaustive, forced, limits_of, run, sources_of

PENALTIES = (0.0, 0.6, 1.0)
NORMALIZATIONS = pytest.mark.parametrize(
    ("normalization", "penalty"),
    [*(("average", penalty) for penalty in PENALTIES), ("gnmt", 0.6), ("gnmt", 2.0), ("none", 1.0)],
)


def settings(**changes) -> DecodingSettings:
    return DecodingSettings(**{"decoding": "beam", **changes})


def random_table(seed: int, vocabulary: int = 9, grid: float = 0.0) -> Table:
    """Between a table that nearly always ends at once and one that seldom ends."""
    return Table(vocabulary, seed, ending=random.Random(seed).uniform(-2, 2), grid=grid)


@pytest.mark.parametrize("grid", [0.0, 1.0])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_beam_of_one_is_greedy_search(penalty, grid):
    for seed in range(60):
        sources = sources_of(seed, 5, 9)
        wanted = settings(beam_size=1, length_penalty=penalty)
        args = (random_table(seed, grid=grid), sources, limits_of(sources), wanted)
        assert run(beam_search, *args) == run(greedy, *args)


@NORMALIZATIONS
def test_a_wide_beam_is_exhaustive_search(normalization, penalty):
    wanted = settings(beam_size=40, n_best=8, length_normalization=normalization, length_penalty=penalty)
    for seed in range(8):
        model = random_table(seed, vocabulary=6)
        sources, limits = [[4], [5, 4, 5]], [5, 3]
        results = run(beam_search, model, sources, limits, wanted)
        for source, limit, hypotheses in zip(sources, limits, results, strict=True):
            expected = exhaustive(model, source, limit, penalty, DIVISORS[normalization])[:8]
            assert [h.tokens for h in hypotheses] == [tokens for _, _, tokens in expected]
            assert [h.score for h in hypotheses] == pytest.approx([score for score, _, _ in expected])
            assert [h.log_prob for h in hypotheses] == pytest.approx([log_prob for _, log_prob, _ in expected])
            assert all(h.finished for h in hypotheses)


@pytest.mark.parametrize("n_best", [1, 3])
@NORMALIZATIONS
def test_stopping_early_changes_nothing_but_the_number_of_steps(normalization, penalty, n_best, monkeypatch):
    steps = {}
    results = {}
    for stopping in (True, False):
        if not stopping:
            monkeypatch.setattr(beam, "normalised", lambda *_: inf)
        model = Table(9, seed=7, ending=1.0)
        results[stopping] = []
        for seed in range(14):
            model.seed = seed
            sources = sources_of(seed, 4, 9)
            wanted = settings(
                n_best=n_best, length_normalization=normalization, length_penalty=penalty, beam_patience=seed % 2
            )
            results[stopping] += run(beam_search, model, sources, limits_of(sources), wanted)
        steps[stopping] = model.rows_stepped
    assert results[True] == results[False]
    assert steps[True] <= steps[False]
    # A long future discounts the loss of those alive so much that three seldom win before the limit.
    assert steps[True] < steps[False] or (penalty > 0 and n_best == 3)


def test_patience_never_loses_and_sometimes_wins():
    """Kasai et al. 2022: the same search goes on for longer."""
    won = 0
    for seed in range(8):
        sources = sources_of(seed, 4, 9)
        args = (random_table(seed), sources, limits_of(sources))
        scores = [
            [each[0].score if each[0].finished else -inf for each in run(beam_search, *args, settings(**changes))]
            for changes in ({"beam_patience": 0.2}, {}, {"beam_patience": 2}, {"beam_patience": 0})
        ]
        for row in zip(*scores, strict=True):
            assert list(row) == sorted(row)
            won += row[0] < row[1] < row[3]
    assert won


@pytest.mark.parametrize(
    ("size", "patience", "steps"),
    [(5, 0.2, 1), (5, 0.3, 2), (5, 1, 5), (5, 1.1, 6), (25, 2.2, 55), (5, 2, 10), (5, 1e-9, 1), (5, 0, 70)],
)
def test_patience_counts_in_beams(size, patience, steps, monkeypatch):
    """One hypothesis ends at each step, and no bound stops the search."""
    monkeypatch.setattr(beam, "normalised", lambda *_: inf)
    model = Table(5, seed=0, scale=0.0, ending=1.0)
    run(beam_search, model, [[4]], [70], settings(beam_size=size, beam_patience=patience))
    assert model.steps == steps


@NORMALIZATIONS
def test_scores_are_those_of_a_naive_loop_over_the_logits(normalization, penalty):
    wanted = settings(n_best=4, length_normalization=normalization, length_penalty=penalty)
    for seed in range(15):
        model, sources = random_table(seed), sources_of(seed, 4, 9)
        results = run(beam_search, model, sources, limits_of(sources), wanted)
        for source, hypotheses in zip(sources, results, strict=True):
            for h in hypotheses:
                log_prob = forced(model, source, h.tokens, h.finished)
                assert h.log_prob == pytest.approx(log_prob)
                length = len(h.tokens) + h.finished
                assert h.score == pytest.approx(log_prob / DIVISORS[normalization](length) ** penalty)


@pytest.mark.parametrize("grid", [0.0, 1.0])
def test_lists_are_sorted_and_distinct_and_within_the_limits(grid):
    seen = set()
    for seed in range(40):
        sources = sources_of(seed, 4, 9)
        limits = limits_of(sources)
        results = run(beam_search, random_table(seed, grid=grid), sources, limits, settings(beam_size=6, n_best=6))
        for limit, hypotheses in zip(limits, results, strict=True):
            assert 1 <= len(hypotheses) <= 6
            assert hypotheses == sorted(hypotheses, key=lambda h: -h.score)
            assert len({h.tokens for h in hypotheses}) == len(hypotheses)
            assert all(len(h.tokens) + h.finished <= limit for h in hypotheses)
            assert all(token > 3 for h in hypotheses for token in h.tokens)
            assert len({h.finished for h in hypotheses}) == 1
            seen.add((hypotheses[0].finished, len(hypotheses) == 6))
    assert (True, True) in seen


@pytest.mark.parametrize("grid", [0.0, 1.0])
def test_a_translation_does_not_depend_on_the_batch_around_it(grid):
    for seed in range(20):
        model, sources = random_table(seed, grid=grid), sources_of(seed, 6, 9)
        limits, wanted = limits_of(sources), settings(n_best=3)
        together = run(beam_search, model, sources, limits, wanted)
        alone = [run(beam_search, model, [s], [n], wanted)[0] for s, n in zip(sources, limits, strict=True)]
        order = random.Random(seed).sample(range(6), 6)
        permuted = run(beam_search, model, [sources[i] for i in order], [limits[i] for i in order], wanted)
        assert together == alone
        assert permuted == [together[i] for i in order]


def test_without_any_end_the_unfinished_come_back():
    model = Table(9, seed=3, ending=-50)
    (hypotheses,) = run(beam_search, model, [[4, 5]], [6], settings(beam_size=5, n_best=2))
    assert [h.finished for h in hypotheses] == [False, False]
    assert [len(h.tokens) for h in hypotheses] == [6, 6]
    assert hypotheses[0].score > hypotheses[1].score
    assert hypotheses[0].log_prob == pytest.approx(forced(model, [4, 5], hypotheses[0].tokens, finished=False))


def test_a_vocabulary_with_nothing_but_an_end_gives_the_empty_translation():
    model = Table(4, seed=1)
    (hypotheses,) = run(beam_search, model, [[1]], [9], settings(beam_size=5, n_best=3))
    assert [(h.tokens, h.finished) for h in hypotheses] == [((), True)]
    assert model.steps == 1


def test_finished_sentences_leave_the_batch():
    model = Table(9, seed=5, ending=-50)
    run(beam_search, model, [[4]] * 3, [1, 2, 30], settings(beam_size=2))
    assert model.rows_stepped == 2 * (3 + 2 + 28)


def test_the_search_needs_the_rows_that_it_selects():
    """Otherwise the tests here could not see wrong rows."""
    sources = sources_of(0, 6, 9)
    args = (sources, limits_of(sources), settings())
    assert run(beam_search, Table(9, seed=0), *args) != run(beam_search, Forgetful(9, seed=0), *args)


def test_more_translations_than_the_beam_holds_are_refused():
    with pytest.raises(UsageError, match="beam of 2 cannot find 3"):
        run(beam_search, Table(9, seed=0), [[4]], [3], settings(beam_size=2, n_best=3))
    with pytest.raises(UsageError, match="ends the search before there are 3"):
        run(beam_search, Table(9, seed=0), [[4]], [3], settings(n_best=3, beam_patience=0.4))


def test_logits_that_are_not_numbers_end_at_the_limit():
    model = Table(9, seed=0, ending=float("nan"))
    (hypotheses,) = run(beam_search, model, [[4]], [5], settings(beam_size=3))
    assert len(hypotheses) == 1
