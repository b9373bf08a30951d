"""Laws of greedy search and sampling."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.stats import chisquare

from mtcli.decoding.sampling import greedy, sample
from mtcli.errors import UsageError
from mtcli.layout import BOS, EOS
from mtcli.settings import DecodingSettings
from tests.decoding.toys import Table, forced, limits_of, run, sources_of


def settings(**changes) -> DecodingSettings:
    return DecodingSettings(**{"decoding": "sample", **changes})


def naive_greedy(model: Table, source: list[int], limit: int) -> tuple[tuple[int, ...], bool]:
    tokens: list[int] = []
    for _ in range(limit):
        logits = model.logits((*source, EOS), (BOS, *tokens))
        token = max(range(3, len(logits)), key=lambda i: (logits[i], -i))
        if token == EOS:
            return tuple(tokens), True
        tokens.append(token)
    return tuple(tokens), False


@pytest.mark.parametrize("grid", [0.0, 1.0])
def test_greedy_takes_the_likeliest_token_at_each_step(grid):
    ends = set()
    for seed in range(40):
        model, sources = Table(9, seed, ending=random.Random(seed).uniform(-2, 2), grid=grid), sources_of(seed, 5, 9)
        limits = limits_of(sources)
        for source, limit, (h,) in zip(sources, limits, run(greedy, model, sources, limits, settings()), strict=True):
            assert (h.tokens, h.finished) == naive_greedy(model, source, limit)
            assert h.log_prob == pytest.approx(forced(model, source, h.tokens, h.finished))
            assert h.score == pytest.approx(h.log_prob / (len(h.tokens) + h.finished))
            ends.add(h.finished)
    assert ends == {True, False}


@pytest.mark.parametrize(
    "choice", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-9}, {"min_p": 1.0}, {"epsilon_cutoff": 0.99}]
)
def test_sampling_only_the_best_is_greedy_search(choice):
    for seed in range(20):
        model, sources = Table(9, seed), sources_of(seed, 5, 9)
        args = (model, sources, limits_of(sources))
        expected = run(greedy, *args, settings())
        assert run(sample, *args, settings(**choice), seeds=list(range(5))) == expected


def naive_distribution(model: Table, tokens: list[int], wanted: DecodingSettings) -> np.ndarray:
    logits = np.array(model.logits((4, EOS), (BOS, *tokens)))
    logits[:3] = -np.inf
    probs = np.exp(logits / wanted.temperature)
    order = sorted(range(len(probs)), key=lambda i: -probs[i])
    kept = order[: wanted.top_k or len(order)]
    of_kept = probs[kept] / probs[kept].sum()
    kept = kept[: int(np.searchsorted(of_kept.cumsum(), wanted.top_p)) + 1]
    kept = [token for token in kept if probs[token] >= wanted.min_p * probs[order[0]]]
    total = probs[kept].sum()
    kept = [token for token in kept if probs[token] / total > wanted.epsilon_cutoff or token == order[0]]
    result = np.zeros(len(probs))
    result[kept] = probs[kept] / probs[kept].sum()
    return result


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"temperature": 0.6},
        {"temperature": 2},
        {"top_k": 3},
        {"top_p": 0.6},
        {"temperature": 1.5, "top_k": 5, "top_p": 0.8},
        {"min_p": 0.15},
        {"temperature": 2, "min_p": 0.4},
        {"epsilon_cutoff": 0.06},
        {"temperature": 1.5, "top_k": 5, "top_p": 0.9, "min_p": 0.3, "epsilon_cutoff": 0.2},
    ],
)
def test_samples_follow_the_filtered_distribution(filters):
    """First and second tokens by a chi-square test over many lines; the seeds are fixed, so it cannot flicker."""
    model = Table(9, seed=2, scale=1.0)
    wanted = settings(n_best=20, **filters)
    found = run(sample, model, [[4]] * 200, [2] * 200, wanted, seeds=list(range(200)))
    outputs = [(*h.tokens, EOS) if h.finished else h.tokens for each in found for h in each]
    first = naive_distribution(model, [], wanted)
    assert 1 < (first > 0).sum() < 6 or not {"top_k", "top_p", "min_p", "epsilon_cutoff"} & filters.keys()
    assert agrees([output[0] for output in outputs], first)
    likeliest = max((t for t in range(4, 9)), key=lambda t: first[t])
    second = naive_distribution(model, [likeliest], wanted)
    assert agrees([output[1] for output in outputs if output[0] == likeliest], second)


def agrees(tokens: list[int], probs: np.ndarray) -> bool:
    counts = np.bincount(tokens, minlength=len(probs))
    possible = probs > 0
    assert len(tokens) > 200
    assert counts[~possible].sum() == 0
    return possible.sum() == 1 or chisquare(counts[possible], probs[possible] * len(tokens)).pvalue > 1e-3


def test_a_sample_depends_on_its_seed_and_not_on_the_batch_around_it():
    for seed in range(20):
        model, sources = Table(9, seed), sources_of(seed, 6, 9)
        limits, seeds, wanted = limits_of(sources), [random.Random(i).getrandbits(64) for i in range(6)], settings()
        together = run(sample, model, sources, limits, wanted, seeds)
        alone = [run(sample, model, [s], [n], wanted, [r])[0] for s, n, r in zip(sources, limits, seeds, strict=True)]
        order = random.Random(seed).sample(range(6), 6)
        picked = ([values[i] for i in order] for values in (sources, limits))
        assert together == alone
        permuted = run(sample, model, *picked, wanted, [seeds[i] for i in order])
        assert permuted == [together[i] for i in order]


def test_seeds_and_samples_of_one_seed_differ_and_the_first_of_many_is_the_only_one():
    model = Table(30, seed=1, scale=0.5, ending=-3)
    many = run(sample, model, [[4]] * 3, [9] * 3, settings(n_best=5), seeds=[1, 2, 1])
    single = run(sample, model, [[4]] * 3, [9] * 3, settings(n_best=1), seeds=[1, 2, 1])
    assert [each[:1] for each in many] == single
    assert many[0] == many[2]
    assert len({h.tokens for each in many[:2] for h in each}) == 10


def test_samples_report_the_models_own_probability_and_keep_the_limits():
    for seed in range(15):
        model, sources = Table(9, seed), sources_of(seed, 5, 9)
        limits = limits_of(sources)
        wanted = settings(temperature=0.7, top_k=4, n_best=3, length_penalty=0.6)
        found = run(sample, model, sources, limits, wanted, seeds=[seed] * 5)
        for source, limit, hypotheses in zip(sources, limits, found, strict=True):
            assert len(hypotheses) == 3
            for h in hypotheses:
                length = len(h.tokens) + h.finished
                assert length <= limit
                assert h.finished or length == limit
                assert h.log_prob == pytest.approx(forced(model, source, h.tokens, h.finished))
                assert h.score == pytest.approx(h.log_prob / length**0.6)


def test_finished_sentences_leave_the_batch():
    model = Table(9, seed=5, ending=-50)
    run(sample, model, [[4]] * 3, [1, 2, 30], settings(n_best=2))
    assert model.rows_stepped == 2 * (3 + 2 + 28)


def test_logits_that_are_not_numbers_end_at_the_limit():
    for strategy in (greedy, sample):
        assert len(run(strategy, Table(9, seed=0, ending=float("nan")), [[4]], [5], settings())[0]) == 1


def test_greedy_refuses_more_than_one_translation():
    with pytest.raises(UsageError, match="one translation"):
        run(greedy, Table(9, seed=0), [[4]], [3], settings(n_best=2))
