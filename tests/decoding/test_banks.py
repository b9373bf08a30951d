"""Translations that must contain words: all of them do, and a wide beam finds the best that does."""

from __future__ import annotations

import random

import pytest

from mtcli.decoding.banks import bank_search
from mtcli.decoding.beam import beam_search
from mtcli.decoding.forbidden import Forbidden
from mtcli.decoding.prefix import Prefix
from mtcli.decoding.request import Request
from mtcli.decoding.required import Phrase, Required
from mtcli.decoding.spelling import Spelling
from mtcli.settings import DecodingSettings
from tests.decoding.spelled import PLAIN, RAW, spell
from tests.decoding.test_words import naive
from tests.decoding.toys import Forgetful, Table, asked, exhaustive, forced, limits_of, sources_of

WAYS = {"ab": [" a", "b"], "b": [" b"], "a b": [" a", " b"], "ba": [" b", "a"], "a": [" a"], "b-a": [" b", "-", "a"]}
"""Phrases and the tokens that a tokenizer would make of them."""


def required(texts: list[str], vocabulary=RAW) -> Required:
    phrases = [Phrase(text, (tuple(vocabulary.index(piece) for piece in WAYS[text]),)) for text in texts]
    return Required(Spelling(vocabulary), phrases)


def random_words(numbers: random.Random) -> list[str]:
    return numbers.sample(list(WAYS), numbers.randrange(4))


@pytest.mark.parametrize("words", [["ab"], ["b", "a b"], ["ba", "b"], ["a b", "ab"]])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_translation_with_the_words(words: list[str], penalty: float):
    wide = DecodingSettings(beam_size=700, n_best=4, length_penalty=penalty)
    for seed in range(2):
        model = Table(len(PLAIN), seed)
        (found,) = asked(bank_search, model, [[4]], [Request(5, required=required(words, PLAIN))], wide)
        everything = exhaustive(model, [4], 5, penalty)
        expected = [each for each in everything if naive(words, spell(each[2], PLAIN)) == set(words)]
        assert [h.tokens for h in found] == [tokens for _, _, tokens in expected[:4]]
        assert [h.log_prob for h in found] == pytest.approx([log_prob for _, log_prob, _ in expected[:4]])
        assert expected != everything


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("ending", [-2.0, 0.0, 4.0])
def test_all_words_are_in_every_translation_that_has_room_for_them(width: int, ending: float):
    """Also in those that the limit cuts; the words are as many as fit in exactly."""
    wanted, missing = DecodingSettings(beam_size=width, n_best=min(2, width)), 0
    for seed in range(10):
        model, sources, numbers = Table(len(RAW), seed, ending), sources_of(seed, 5, len(RAW)), random.Random(seed)
        words = [random_words(numbers) for _ in sources]
        requests = [
            Request(
                sum(len(WAYS[word]) for word in each) + numbers.randrange(1, 6),
                required=required(each) if each else None,
            )
            for each in words
        ]
        results = asked(bank_search, model, sources, requests, wanted)
        free = asked(beam_search, model, sources, requests, wanted)
        for source, each, found, unasked in zip(sources, words, results, free, strict=True):
            assert found
            for hypothesis in found:
                assert naive(each, spell(hypothesis.tokens)) == set(each)
                assert hypothesis.log_prob == pytest.approx(
                    forced(model, source, hypothesis.tokens, hypothesis.finished)
                )
            missing += naive(each, spell(unasked[0].tokens)) != set(each)
    assert missing > 10


def test_words_that_do_not_fit_in_are_met_as_far_as_they_do():
    (found,) = asked(
        bank_search, Table(len(RAW), 0), [[4]], [Request(3, required=required(["ab", "b-a"]))], DecodingSettings()
    )
    assert [h.finished for h in found] == [False]
    assert spell(found[0].tokens).strip().startswith(("b-a", "ab b"))


def test_sentences_without_words_are_translated_as_by_beam_search():
    wanted = DecodingSettings(beam_size=4, n_best=3)
    for grid in (0.0, 1.0):
        for seed in range(5):
            model, sources = Table(len(RAW), seed, ending=0.5, grid=grid), sources_of(seed, 4, len(RAW))
            requests = [Request(limit) for limit in limits_of(sources)]
            mixed = [*requests, Request(9, required=required(["ab"]))]
            expected = asked(beam_search, model, sources, requests, wanted)
            assert asked(bank_search, model, [*sources, [5, 6]], mixed, wanted)[:-1] == expected


def test_a_translation_does_not_depend_on_the_batch_around_it():
    wanted = DecodingSettings(beam_size=4, n_best=2, no_repeat_ngram=2)
    for seed in range(5):
        model, sources, numbers = Table(len(RAW), seed, 0.5), sources_of(seed, 6, len(RAW)), random.Random(seed)
        requests = [Request(limit + 6, required=required(random_words(numbers))) for limit in limits_of(sources)]
        together = asked(bank_search, model, sources, requests, wanted)
        assert together == [
            asked(bank_search, model, [s], [r], wanted)[0] for s, r in zip(sources, requests, strict=True)
        ]


def test_words_are_required_together_with_all_else():
    """After a prefix, beside forbidden words, and though nothing may repeat: "a b" begins like the prefix goes on."""
    spelling = Spelling(RAW)
    ban, words = Forbidden(spelling, ["b", "c"]), ["ab", "a b", "ba"]
    prefix = Prefix(spelling, [RAW.index(" a"), RAW.index("-")], b" a")
    wanted = DecodingSettings(beam_size=3, no_repeat_ngram=2)
    for seed in range(5):
        model = Table(len(RAW), seed, ending=1)
        request = Request(20, required=required(["ab", "ba"]), rules=(prefix, ban), minimum=9)
        ((found,),) = asked(bank_search, model, [[4]], [request], wanted)
        text = spell(found.tokens)
        assert text.startswith(" a- a")
        assert naive(["b", "c"], text) == set()
        assert naive(words, text) >= {"ab", "ba"}
        assert len(found.tokens) >= 9


@pytest.mark.parametrize("width", [1, 3])
def test_a_word_is_closed_neither_by_an_end_too_early_nor_not_at_all(width: int):
    """What keeps " a" whole is another " a", which blocking does not want, or an end, which comes too early."""
    texts = ["", "", "", "", " a", "b"]
    words = Required(Spelling(texts), [Phrase("a", ((texts.index(" a"),),))])
    for seed in range(10):
        model, wanted = Table(len(texts), seed), DecodingSettings(beam_size=width, no_repeat_ngram=1)
        ((found,),) = asked(bank_search, model, [[4]], [Request(6, minimum=3, required=words)], wanted)
        assert len(found.tokens) >= 3
        assert naive(["a"], spell(found.tokens, texts))


def test_the_search_needs_the_rows_that_it_selects():
    sources = sources_of(0, 6, len(RAW))
    requests = [Request(9, required=required(["ab"])) for _ in sources]
    models = Table(len(RAW), 0), Forgetful(len(RAW), 0)
    one, other = (asked(bank_search, model, sources, requests, DecodingSettings()) for model in models)
    assert one != other
