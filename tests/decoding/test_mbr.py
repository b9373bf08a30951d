"""Minimum Bayes risk decoding: utilities as sacreBLEU computes them, expectations by a naive loop."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from mtcli.decoding import utility
from mtcli.decoding.mbr import candidates, ranked
from mtcli.decoding.sampling import sample
from mtcli.decoding.translator import Translator
from mtcli.settings import DecodingSettings
from tests.decoding.test_translator import Letters
from tests.decoding.toys import Table, limits_of, run, sources_of

UTILITIES = {"chrf": utility.chrf, "bleu": utility.bleu}

words = st.lists(
    st.sampled_from(["a", "dog", "dog", "dogs", "run.", "Über", "我喜欢", "\u0301", " ", "\u3000"]), max_size=9
)
texts = st.lists(words.map(" ".join), min_size=1, max_size=5)


def sacrebleu(name: str, language: str):
    tokenizer = "zh" if language == "zh" else "13a"
    return CHRF() if name == "chrf" else BLEU(tokenize=tokenizer, effective_order=True)


@pytest.mark.parametrize("language", ["de", "zh"])
@pytest.mark.parametrize("name", UTILITIES)
@examples(deadline=None, max_examples=60)
@given(lines=texts)
def test_a_utility_is_sacrebleus_score_of_a_sentence(name, language, lines):
    found = UTILITIES[name](language)(lines)
    metric = sacrebleu(name, language)
    for hypothesis, row in zip(lines, found, strict=True):
        assert row.tolist() == pytest.approx([metric.sentence_score(hypothesis, [line]).score for line in lines])


@pytest.mark.parametrize("name", UTILITIES)
@examples(deadline=None, max_examples=60)
@given(lines=texts)
def test_the_best_is_most_like_all_samples(name, lines):
    """Each sample, repeated ones too, is a reference as likely as any other."""
    lines = [*lines, lines[0]]
    metric = sacrebleu(name, "de")
    found = ranked(lines, UTILITIES[name]("de"))
    for place, score in found:
        expected = sum(metric.sentence_score(lines[place], [line]).score for line in lines) / len(lines)
        assert score == pytest.approx(expected)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert {lines[place] for place, _ in found} == set(lines)
    assert all(lines.index(lines[place]) == place for place, _ in found)
    assert len(found) == len(set(lines))


def test_what_is_drawn_more_often_wins():
    assert ranked(["a b", "c d", "c d"], utility.chrf("de"))[0] == (1, pytest.approx(200 / 3))
    assert [place for place, _ in ranked(["a b", "c d"], utility.chrf("de"))] == [0, 1]


def test_the_candidates_are_the_samples_of_sampling():
    model, sources = Table(9, seed=3), sources_of(3, 4, 9)
    args = (model, sources, limits_of(sources))
    drawn = run(candidates, *args, DecodingSettings(decoding="mbr", mbr_samples=7, top_p=0.9), seeds=[1, 2, 3, 4])
    assert drawn == run(sample, *args, DecodingSettings(n_best=7, top_p=0.9), seeds=[1, 2, 3, 4])


def translator(**changes) -> Translator:
    wanted = DecodingSettings(**{"max_output_ratio": 0.5, "batch_tokens": 60, **changes})
    return Translator(Table(9, 0, ending=0.0), Letters(), wanted, torch.device("cpu"), target_lang="de")


@pytest.mark.parametrize("name", UTILITIES)
def test_translations_are_the_best_of_a_sampled_list(name):
    numbers = random.Random(0)
    lines = ["".join(numbers.choices("abcdef", k=numbers.randint(1, 9))) for _ in range(30)]
    many = translator(decoding="sample", n_best=8).translate(lines)
    chosen = translator(decoding="mbr", mbr_samples=8, mbr_utility=name, n_best=3).translate(lines)
    metric = sacrebleu(name, "de")
    for samples, best in zip(many, chosen, strict=True):
        drawn = [h.text for h in samples.hypotheses]
        expected = {text: sum(metric.sentence_score(text, [other]).score for other in drawn) / 8 for text in drawn}
        assert [h.score for h in best.hypotheses] == pytest.approx(sorted(expected.values(), reverse=True)[:3])
        for h in best.hypotheses:
            assert h.score == pytest.approx(expected[h.text])
            assert (h.text, h.log_prob) in [(each.text, each.log_prob) for each in samples.hypotheses]
    assert chosen == translator(decoding="mbr", mbr_samples=8, mbr_utility=name, n_best=3).translate(lines)


def test_seeds_and_filters_are_those_of_sampling():
    lines = ["abc", "fed", "cabbed"] * 3
    base = {"decoding": "mbr", "mbr_samples": 4}
    assert translator(**base).translate(lines) != translator(**base, sampling_seed=2).translate(lines)
    greedy = [t.text for t in translator(decoding="greedy").translate(lines)]
    assert [t.text for t in translator(**base, top_k=1).translate(lines)] == greedy
