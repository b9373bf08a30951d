"""The coverage penalty against naive loops, and beam search with it against exhaustive search."""

from __future__ import annotations

import random
from math import inf, log

import pytest
import torch
from torch import Tensor

from mtcli.decoding import beam
from mtcli.decoding.beam import beam_search
from mtcli.decoding.coverage import UNSEEN, log_coverage
from mtcli.decoding.ensemble import Ensemble, log_linear
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.scorer import score_pairs
from mtcli.decoding.translator import Translator
from mtcli.errors import UsageError
from mtcli.layout import BOS, EOS, Batch
from mtcli.settings import DecodingSettings
from tests.decoding.test_beam import NORMALIZATIONS, settings
from tests.decoding.test_translator import Letters
from tests.decoding.toys import DIVISORS, Table, Tokens, exhaustive, forced, limits_of, run, sources_of, unpad
from tests.laws import models

CPU = torch.device("cpu")


class Gazing(Table):
    """Looks at source tokens as a fixed random function of the source and the tokens so far says."""

    supports_attention = True

    def weights(self, source: Tokens, prefix: Tokens) -> list[float]:
        """`source` ends with EOS; some weights are 0."""
        numbers = random.Random(f"weights {self.seed} {source} {prefix}")
        raw = [numbers.choice([0, numbers.random() ** 3]) for _ in source]
        return [x / (sum(raw) or 1) for x in raw]

    def attention(self, batch: Batch) -> Tensor:
        """What stands at padding is not 0, so that a test notices who reads it."""
        assert not self.training
        weights = torch.full((*batch.target_in.shape, batch.source.shape[1]), 0.4, dtype=torch.float64)
        sources = unpad(batch.source, batch.source_rows)
        for row, (source, prefix) in enumerate(zip(sources, unpad(batch.target_in, batch.target_rows), strict=True)):
            for t in range(len(prefix)):
                weights[row, t, : len(source)] = torch.tensor(self.weights(source, prefix[: t + 1]))
        return weights


def gazing(seed: int, vocabulary: int = 9) -> Gazing:
    return Gazing(vocabulary, seed, ending=random.Random(seed).uniform(-2, 2))


def naive(rows: list[list[float]], words: int) -> float:
    """The sum over source tokens `i` of log(min(sum over target tokens `j` of p_ij, 1)); EOS is the last column."""
    total = 0.0
    for i in range(words):
        looked = 0.0
        for weights in rows:
            looked += weights[i]
        total += log(min(max(looked, UNSEEN), 1.0))
    return total


def covered(model: Gazing, source, tokens, finished: bool = True) -> float:
    """The same for a hypothesis, token by token."""
    predicted = [*tokens, EOS] if finished else [*tokens]
    rows = [model.weights((*source, EOS), (BOS, *predicted[:j])) for j in range(len(predicted))]
    return naive(rows, len(source))


def normalised(h: Hypothesis, wanted: DecodingSettings) -> float:
    length = len(h.tokens) + h.finished
    return h.log_prob / DIVISORS[wanted.length_normalization](length) ** wanted.length_penalty


def test_only_words_and_what_was_predicted_count():
    numbers = torch.Generator().manual_seed(1)
    lengths = [(1, 4), (6, 1), (3, 3), (0, 2), (4, 0)]
    batch = Batch.of([[5] * s for s, _ in lengths], [[6] * t for _, t in lengths])
    weights = torch.rand(5, 5, 7, generator=numbers) / 3
    expected = [naive(weights[row, : t + 1].tolist(), s) for row, (s, t) in enumerate(lengths)]
    assert log_coverage(batch, weights).tolist() == pytest.approx(expected)
    assert expected[3] == 0
    assert min(expected) < -1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_source_that_nothing_looks_at_counts_alike_in_every_precision(dtype):
    batch = Batch.of([[4, 5]], [[6]])
    assert log_coverage(batch, torch.zeros(1, 2, 3, dtype=dtype)).tolist() == pytest.approx([2 * log(UNSEEN)])
    # In fp16 a thousand small weights added one by one stop growing.
    many = torch.full((1, 1000, 2), 2.0**-12, dtype=dtype)
    assert log_coverage(Batch.of([[4]], [[6] * 999]), many).tolist() == pytest.approx([log(1000 / 4096)])


@NORMALIZATIONS
def test_a_wide_beam_is_exhaustive_search(normalization, penalty):
    beta = 0.5
    wanted = settings(
        beam_size=40, n_best=8, length_normalization=normalization, length_penalty=penalty, coverage_penalty=beta
    )
    moved = 0
    for seed in range(6):
        model = gazing(seed, vocabulary=6)
        sources, limits = [[4], [5, 4, 5]], [5, 3]
        results = run(beam_search, model, sources, limits, wanted)
        for source, limit, hypotheses in zip(sources, limits, results, strict=True):
            without = exhaustive(model, source, limit, penalty, DIVISORS[normalization])
            everything = [(score + beta * covered(model, source, t), p, t) for score, p, t in without]
            expected = sorted(everything, reverse=True)[:8]
            assert [h.tokens for h in hypotheses] == [tokens for _, _, tokens in expected]
            assert [h.score for h in hypotheses] == pytest.approx([score for score, _, _ in expected])
            assert [h.log_prob for h in hypotheses] == pytest.approx([log_prob for _, log_prob, _ in expected])
            moved += expected[0][2] != without[0][2]
    assert moved


@pytest.mark.parametrize("changes", [{}, {"diversity_groups": 3, "beam_size": 6}, {"beam_patience": 2}])
@pytest.mark.parametrize("ending", [0.0, -50.0])
def test_scores_are_those_of_a_naive_loop_and_lists_are_sorted_by_them(changes, ending):
    """Also of hypotheses that the limit cuts, which do not look from an EOS."""
    wanted = settings(n_best=4, coverage_penalty=0.7, **changes)
    reordered, finished = 0, set()
    for seed in range(6):
        model, sources = Gazing(9, seed, ending), sources_of(seed, 4, 9)
        limits = [min(limit, 5) for limit in limits_of(sources)]
        results = run(beam_search, model, sources, limits, wanted)
        for source, hypotheses in zip(sources, results, strict=True):
            for h in hypotheses:
                assert h.log_prob == pytest.approx(forced(model, source, h.tokens, h.finished))
                logs = covered(model, source, h.tokens, h.finished)
                assert h.score == pytest.approx(normalised(h, wanted) + 0.7 * logs)
            scores = [h.score for h in hypotheses]
            assert scores == sorted(scores, reverse=True)
            plain = [normalised(h, wanted) for h in hypotheses]
            reordered += plain != sorted(plain, reverse=True)
            finished |= {h.finished for h in hypotheses}
    assert reordered
    assert (ending == 0) in finished


def test_of_translations_that_are_cut_the_best_of_the_beam_are_kept():
    for seed in range(6):
        sources = sources_of(seed, 4, 9)
        model = Gazing(9, seed, ending=-50)
        one, all_five = (
            run(beam_search, model, sources, [4] * 4, settings(n_best=n_best, coverage_penalty=2.0))
            for n_best in (1, 5)
        )
        assert [each[0].tokens for each in one] == [each[0].tokens for each in all_five]


@pytest.mark.parametrize("n_best", [1, 3])
@NORMALIZATIONS
def test_the_bound_without_the_penalty_stops_no_search_too_early(normalization, penalty, n_best, monkeypatch):
    """What a search loses to its penalty can only lower what the bound says."""
    results, steps = [], []
    for _ in range(2):
        model = Gazing(9, seed=7, ending=1.0)
        found = []
        for seed in range(4):
            model.seed = seed
            sources = sources_of(seed, 4, 9)
            wanted = settings(
                n_best=n_best,
                length_normalization=normalization,
                length_penalty=penalty,
                beam_patience=seed % 2,
                coverage_penalty=0.2,
            )
            found += run(beam_search, model, sources, [min(limit, 9) for limit in limits_of(sources)], wanted)
        assert all(h.score <= normalised(h, wanted) + 1e-12 for each in found for h in each)
        results.append(found)
        steps.append(model.rows_stepped)
        monkeypatch.setattr(beam, "normalised", lambda *_: inf)
    assert results[0] == results[1]
    assert steps[0] < steps[1] or (penalty > 0 and n_best == 3)


def test_without_a_penalty_nobody_asks_where_a_model_looks(monkeypatch):
    sources = sources_of(3, 6, 9)
    rest = (sources, limits_of(sources), settings(n_best=3))
    monkeypatch.setattr(Gazing, "attention", None)
    assert run(beam_search, Gazing(9, 1), *rest) == run(beam_search, Table(9, 1), *rest)


def test_a_translation_does_not_depend_on_the_batch_around_it():
    for seed in range(2):
        model, sources = gazing(seed), sources_of(seed, 6, 9)
        limits = limits_of(sources)
        for wanted in (settings(n_best=3, coverage_penalty=1.0, batch_tokens=n) for n in (1, 4096)):
            together = run(beam_search, model, sources, limits, wanted)
            for source, limit, hypotheses in zip(sources, limits, together, strict=True):
                (alone,) = run(beam_search, model, [source], [limit], wanted)
                assert [h.tokens for h in alone] == [h.tokens for h in hypotheses]
                assert [h.score for h in alone] == pytest.approx([h.score for h in hypotheses])


class Lazy(Gazing):
    """Has two words: after the likelier one it looks at the first source token again, after the other at the next."""

    def logits(self, source: Tokens, prefix: Tokens) -> list[float]:
        """Those of PAD, UNK, BOS, EOS and the words."""
        return [0, 0, 0, 0, 3, 2] if len(prefix) == 1 else [0, 0, 0, 4, 0, 0]

    def weights(self, source: Tokens, prefix: Tokens) -> list[float]:
        """Of the first word, the second and EOS."""
        return [0.02, 0.96, 0.02] if prefix[-1] == 5 else [0.96, 0.02, 0.02]


def test_the_penalty_prefers_the_translation_that_covers_its_source():
    without, with_it = (
        run(beam_search, Lazy(6, 0), [[4, 5]], [5], settings(length_penalty=0, coverage_penalty=beta))[0][0]
        for beta in (0.0, 0.5)
    )
    assert without.tokens == (4,)
    assert with_it.tokens == (5,)
    assert without.log_prob > with_it.log_prob
    assert with_it.score == pytest.approx(with_it.log_prob + 0.5 * 2 * log(0.98))


REAL = {
    "transformer": models.settings(),
    "learned": models.settings(positions="learned", cross_attention="linear"),
    "local": models.settings(architecture="recurrent", cross_attention="luong-general", alignment="local-p"),
}


@pytest.mark.parametrize("name", [*REAL, "ensemble"])
@torch.no_grad()
def test_real_models_read_their_translations_once_more(name):
    made = [models.model(each, seed) for seed, each in enumerate(REAL.values())]
    known = {**dict(zip(REAL, made, strict=True)), "ensemble": Ensemble(made, log_linear)}
    model, sources, wanted = (
        known[name],
        models.sentences(3, [6, 1]),
        settings(beam_size=2, n_best=2, coverage_penalty=0.4),
    )
    found = run(beam_search, model, sources, [5, 3], wanted)
    for source, hypotheses in zip(sources, found, strict=True):
        for h in hypotheses:
            rows = model.attention(Batch.of([source], [h.tokens]))[0].tolist()
            logs = naive(rows[: len(h.tokens) + h.finished], len(source))
            assert h.score == pytest.approx(normalised(h, wanted) + 0.4 * logs)
            if h.finished:
                assert score_pairs(model, [source], [h.tokens], 50, CPU) == pytest.approx([h.log_prob])


def test_each_part_of_a_long_line_has_its_own_penalty():
    wanted = DecodingSettings(coverage_penalty=0.5, n_best=2, max_output_ratio=0.5)
    ready = Translator(Gazing(9, 2, ending=1.0), Letters(), wanted, CPU)
    ready.max_source = 8
    (translation,) = ready.translate(["abcde.  fedcba.  bad"])
    assert len(translation.parts) > 1
    for hypothesis in translation.hypotheses:
        for source, part in zip(translation.parts, hypothesis.parts, strict=True):
            logs = covered(ready.model, source.tokens, part.tokens, part.finished)
            assert part.score == pytest.approx(part.log_prob / (len(part.tokens) + part.finished) + 0.5 * logs)
        mean = sum(part.score for part in hypothesis.parts) / len(hypothesis.parts)
        assert hypothesis.score == pytest.approx(mean)


def test_a_model_without_weights_is_refused():
    with pytest.raises(UsageError) as raised:
        run(beam_search, Table(9, 0), [[4]], [3], settings(coverage_penalty=0.2))
    assert "needs weights of source tokens" in raised.value.details[0]
    run(beam_search, Table(9, 0), [[4]], [3], settings())
