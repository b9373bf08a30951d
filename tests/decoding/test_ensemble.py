"""Several models as one, against one model and against a naive loop."""

from __future__ import annotations

import math

import pytest
import torch

from mtcli.decoding.beam import beam_search
from mtcli.decoding.ensemble import Ensemble, linear, log_linear
from mtcli.decoding.sampling import greedy
from mtcli.decoding.scorer import score_pairs
from mtcli.layout import BOS, EOS, Batch
from mtcli.settings import DecodingSettings
from tests.decoding.toys import Table, log_softmax, run
from tests.laws import models

MIXES = pytest.mark.parametrize("mix", [linear, log_linear])
KINDS = [
    models.settings(),
    models.settings(positions="learned", decoder_attention="linear"),
    models.settings(architecture="recurrent", cross_attention="bahdanau"),
]
SOURCES, LIMITS = models.sentences(3, [6, 0, 4]), [7, 3, 5]
CPU = torch.device("cpu")
SEARCH = DecodingSettings(beam_size=3, n_best=3)


def members(count: int) -> list:
    return [models.model(kind, seed) for seed, kind in enumerate(KINDS[:count])]


@MIXES
@pytest.mark.parametrize("count", [1, 3])
def test_copies_of_one_model_are_the_model(mix, count):
    model = members(1)[0]
    one, many = (run(beam_search, each, SOURCES, LIMITS, SEARCH) for each in (model, Ensemble([model] * count, mix)))
    assert [[h.tokens for h in each] for each in one] == [[h.tokens for h in each] for each in many]
    assert [h.log_prob for each in one for h in each] == pytest.approx([h.log_prob for each in many for h in each])


@MIXES
def test_different_architectures_search_and_score_as_one(mix):
    """The log-probability that a search reports is that which scoring finds with the same ensemble."""
    ensemble = Ensemble(members(3), mix)
    found = run(beam_search, ensemble, SOURCES, LIMITS, SEARCH)
    for source, limit, together in zip(SOURCES, LIMITS, found, strict=True):
        (alone,) = run(beam_search, ensemble, [source], [limit], SEARCH)
        assert [h.tokens for h in alone] == [h.tokens for h in together]
        ended = [h for h in together if h.finished]
        scores = score_pairs(ensemble, [source] * len(ended), [h.tokens for h in ended], 50, CPU)
        assert scores == pytest.approx([h.log_prob for h in ended])
    assert ensemble.longest_source == 64


@MIXES
def test_a_step_is_the_mean_of_a_naive_loop(mix):
    tables = [Table(9, seed=1), Table(9, seed=2, scale=4)]
    ensemble, source, predicted = Ensemble(tables, mix), [4, 7, 5], []
    for _ in range(6):
        each = [log_softmax(table.logits((*source, EOS), (BOS, *predicted))) for table in tables]
        if mix is linear:
            probs = [(math.exp(a) + math.exp(b)) / 2 for a, b in zip(*each, strict=True)]
        else:
            products = [math.exp(a + b) ** 0.5 for a, b in zip(*each, strict=True)]
            probs = [product / sum(products) for product in products]
        expected = max(range(3, 9), key=lambda token: probs[token])
        ((found,),) = run(greedy, ensemble, [source], [len(predicted) + 1], DecodingSettings(decoding="greedy"))
        predicted.append(expected)
        assert [*found.tokens, *[EOS] * found.finished] == predicted
        if expected == EOS:
            break
    (score,) = score_pairs(ensemble, [source], [predicted[:0]], 50, CPU)
    first = [log_softmax(table.logits((*source, EOS), (BOS,))) for table in tables]
    ends = [math.exp(log_probs[EOS]) for log_probs in first]
    if mix is linear:
        assert score == pytest.approx(math.log(sum(ends) / 2))
    else:
        total = sum(math.exp(a + b) ** 0.5 for a, b in zip(*first, strict=True))
        assert score == pytest.approx(math.log((ends[0] * ends[1]) ** 0.5 / total))


@torch.no_grad()
def test_an_ensemble_looks_where_its_members_look_on_average():
    pair = Batch.of(SOURCES, models.sentences(4, [3, 5, 0]))
    looks = [member.attention(pair).tolist() for member in members(3)]
    found = Ensemble(members(3), linear).attention(pair)
    for row, source in enumerate(SOURCES):
        for t in range(found.shape[1]):
            for s in range(len(source) + 1):
                assert float(found[row, t, s]) == pytest.approx(sum(each[row][t][s] for each in looks) / 3)
    assert not Ensemble([*members(2), Table(9, 0)], linear).supports_attention
    assert Ensemble(members(2), linear).supports_attention
