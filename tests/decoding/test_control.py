"""What may be chosen, in both loops: forbidden words, given beginnings, lengths and repetitions."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest
import torch

from mtcli.decoding.beam import beam_search
from mtcli.decoding.filters import no_repeat
from mtcli.decoding.forbidden import Forbidden
from mtcli.decoding.prefix import Prefix
from mtcli.decoding.request import Request
from mtcli.decoding.sampling import greedy, sample
from mtcli.decoding.spelling import Spelling
from mtcli.settings import DecodingSettings
from tests.decoding.spelled import PLAIN, RAW, spell
from tests.decoding.test_words import naive
from tests.decoding.toys import Table, asked, exhaustive, forced, limits_of, sources_of

STRATEGIES = pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        (greedy, DecodingSettings(decoding="greedy")),
        (beam_search, DecodingSettings(beam_size=4, n_best=3)),
        (sample, DecodingSettings(decoding="sample", n_best=3, temperature=1.5, top_k=9, top_p=0.95)),
    ],
    ids=["greedy", "beam", "sample"],
)
WIDE = DecodingSettings(beam_size=700, n_best=4)


def requests_of(sources, limits, seed: int, texts=RAW) -> list[Request]:
    """A mixture of wishes."""
    numbers, spelling = random.Random(seed), Spelling(texts)
    ban = Forbidden(spelling, ["a", "ab", "b a"])
    requests = []
    for limit in limits:
        length = numbers.randrange(3)
        tokens = [numbers.choice(spelling.ordinary) for _ in range(length)]
        rules = (Prefix(spelling, tokens, b" ab"),) if numbers.random() < 0.3 else ()
        rules += (ban,) if numbers.random() < 0.5 else ()
        minimum = numbers.randrange(limit) if numbers.random() < 0.5 else 0
        requests.append(Request(limit, numbers.randrange(100), minimum, rules))
    return requests


@STRATEGIES
def test_forbidden_words_never_occur_however_they_are_spelled(strategy, settings):
    phrases, changed = ["a", "ab", "b c", "é", "ça"], 0
    ban = Forbidden(Spelling(RAW), phrases)
    for seed in range(12):
        model, sources = Table(len(RAW), seed, ending=1), sources_of(seed, 5, len(RAW))
        free = [Request(limit, seed) for limit in limits_of(sources)]
        banned = [replace(request, rules=(ban,)) for request in free]
        for found in asked(strategy, model, sources, banned, settings):
            for hypothesis in found:
                assert not naive(phrases, spell(hypothesis.tokens))
        changed += sum(
            bool(naive(phrases, spell(h.tokens)))
            for each in asked(strategy, model, sources, free, settings)
            for h in each
        )
    assert changed > 10


def test_a_wide_beam_finds_the_best_without_the_forbidden_words():
    ban = Forbidden(Spelling(PLAIN), ["ab", "b", "a b"])
    for seed in range(3):
        model = Table(len(PLAIN), seed)
        (found,) = asked(beam_search, model, [[4]], [Request(5, rules=(ban,))], WIDE)
        allowed = [
            each for each in exhaustive(model, [4], 5, 1.0) if not naive(["ab", "b", "a b"], spell(each[2], PLAIN))
        ]
        assert [h.tokens for h in found] == [tokens for _, _, tokens in allowed[:4]]
        assert [h.log_prob for h in found] == pytest.approx([log_prob for _, log_prob, _ in allowed[:4]])


def test_a_token_from_which_no_text_without_the_word_goes_on_is_not_chosen():
    """Only "a" and " b" are left; after "a" nothing joins it, so it must not even begin."""
    texts = ["", "", "", "", " a", " b"]
    refused = Forbidden(Spelling(texts), ["a"])([], last=False)
    assert refused.tolist() == [False] * 4 + [True, False]


def test_exactly_those_tokens_are_refused_after_which_no_text_without_the_word_is_left():
    phrases, spelling, numbers = ["a", "ab", "b c", "é", "-"], Spelling(RAW), random.Random(3)
    ban, endings = Forbidden(spelling, phrases), [(), *((token,) for token in spelling.ordinary)]
    verdicts = set()
    while len(verdicts) < 2 or numbers.random() < 0.98:
        tokens = [numbers.choice(spelling.ordinary) for _ in range(numbers.randrange(5))]
        if naive(phrases, spell(tokens).rstrip("\ufffd") + "x"):
            continue  # a word that is there already is not held against what follows
        refused, perilous = ban(tokens, last=False), ban(tokens, last=True)
        for token in spelling.ordinary:
            texts = [spell([*tokens, token, *ending]) for ending in endings]
            ways_on = [text for text in texts if not naive(phrases, text)]
            if not (isinstance(RAW[token], bytes) and RAW[token] >= b"\x80"):  # half a character is not waited for
                assert refused[token] == (not ways_on), (spell(tokens), RAW[token])
                verdicts.add(bool(ways_on))
            assert perilous[token] == (texts[0] not in ways_on), (spell(tokens), RAW[token])


def test_only_tokens_that_go_on_with_a_forbidden_word_are_looked_at(monkeypatch):
    """Or a long list of words would take as long as the list times the vocabulary."""
    letters = "abcdefgh"
    within = ["".join(three) for three in product(letters, repeat=3)]
    spelling = Spelling(["", "", "", "", *within, *(f" {text}" for text in within)])
    ban = Forbidden(spelling, [f"abc{letter}q" for letter in letters])
    ban([spelling.texts.index("aaa")], last=False)
    looked, read = [], ban.finder.read

    def spy(*arguments):
        looked.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(ban.finder, "read", spy)
    assert not ban([spelling.texts.index(" abc")], last=False).any()
    assert len(looked) < len(within) / 2


@STRATEGIES
def test_a_translation_begins_with_its_prefix(strategy, settings):
    spelling = Spelling(RAW)
    ends = set()
    for seed in range(10):
        model, sources = Table(len(RAW), seed, ending=1), sources_of(seed, 4, len(RAW))
        numbers, requests = random.Random(seed), []
        for limit in limits_of(sources):
            tokens = [numbers.choice(spelling.ordinary) for _ in range(numbers.randrange(4))]
            requests.append(
                Request(
                    limit + 8, seed, rules=(Prefix(spelling, tokens, numbers.choice([b" ab", b" ", b" b\xc3\xa9"])),)
                )
            )
        for request, source, found in zip(
            requests, sources, asked(strategy, model, sources, requests, settings), strict=True
        ):
            prefix = request.rules[0]
            for hypothesis in found:
                size = len(prefix.tokens)
                assert hypothesis.tokens[:size] == prefix.tokens
                rest = spelling.written(hypothesis.tokens[size:])
                ends.add(rest[:4])
                assert rest.startswith(prefix.rest) or (prefix.rest == b" " and not rest)
                assert hypothesis.log_prob == pytest.approx(
                    forced(model, source, hypothesis.tokens, hypothesis.finished)
                )
    assert len(ends) > 6


def test_the_last_word_of_a_prefix_may_go_on_in_any_tokens():
    spelling = Spelling(RAW)
    prefix = Prefix(spelling, [RAW.index(" b")], b" a")
    following = prefix([RAW.index(" b")], last=False)
    allowed = {RAW[token] for token in (~following).nonzero().flatten().tolist()}
    assert allowed == {" a", " ab", " "}
    following = prefix([RAW.index(" b"), RAW.index(" ")], last=False)
    assert {RAW[token] for token in (~following).nonzero().flatten().tolist()} == {"a", "ab", b"a"}
    assert prefix([RAW.index(" b"), RAW.index(" ab")], last=False) is None


@STRATEGIES
def test_no_translation_ends_before_its_minimum_if_anything_else_is_left(strategy, settings):
    for seed in range(10):
        model, sources = Table(9, seed, ending=3), sources_of(seed, 5, 9)
        requests = [Request(limit, seed, minimum=limit // 2) for limit in limits_of(sources)]
        for request, found in zip(requests, asked(strategy, model, sources, requests, settings), strict=True):
            assert all(len(h.tokens) >= request.minimum for h in found)
    model = Table(4, 0)
    (found,) = asked(strategy, model, [[1]], [Request(9, minimum=3)], settings.model_copy(update={"n_best": 1}))
    assert found[0].tokens == ()


def test_a_wide_beam_finds_the_best_that_is_long_enough_and_does_not_repeat_itself():
    for seed in range(3):
        model = Table(7, seed, ending=1)
        wide = WIDE.model_copy(update={"no_repeat_ngram": 2})
        (found,) = asked(beam_search, model, [[4]], [Request(6, minimum=3)], wide)
        allowed = [each for each in exhaustive(model, [4], 6, 1.0) if len(each[2]) >= 3 and not repeats(each[2], 2)]
        assert [h.tokens for h in found] == [tokens for _, _, tokens in allowed[:4]]


def repeats(tokens, size: int) -> bool:
    grams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    return len(set(grams)) < len(grams)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_blocking_refuses_exactly_what_would_repeat(size):
    generator = torch.Generator().manual_seed(size)
    for length in range(12):
        logits, tokens = (
            torch.randn(20, 7, generator=generator),
            torch.randint(4, 7, (20, length), generator=generator),
        )
        before = logits.clone()
        blocked = no_repeat(logits, tokens, size)
        assert torch.equal(logits, before)
        for row, past in enumerate(tokens.tolist()):
            seen = {tuple(past[i : i + size]) for i in range(length - size + 1)}
            expected = {token for token in range(7) if (*past[length - size + 1 :], token) in seen and length >= size}
            assert set((blocked[row] == -torch.inf).nonzero().flatten().tolist()) == expected
            assert torch.equal(blocked[row][blocked[row] > -torch.inf], logits[row][blocked[row] > -torch.inf])


@STRATEGIES
@pytest.mark.parametrize("size", [1, 3])
def test_nothing_repeats_in_translations(strategy, settings, size):
    wanted = settings.model_copy(update={"no_repeat_ngram": size})
    for seed in range(10):
        model, sources = Table(14, seed, ending=-1), sources_of(seed, 5, 14)
        requests = [Request(min(limit, 9), seed) for limit in limits_of(sources)]
        found = [h for each in asked(strategy, model, sources, requests, wanted) for h in each]
        assert not any(repeats(h.tokens, size) for h in found)


@STRATEGIES
def test_what_is_asked_of_one_sentence_does_not_touch_the_others(strategy, settings):
    wanted = settings.model_copy(update={"no_repeat_ngram": 3})
    for seed in range(5):
        model, sources = Table(len(RAW), seed, ending=0.5), sources_of(seed, 6, len(RAW))
        requests = requests_of(sources, limits_of(sources), seed)
        together = asked(strategy, model, sources, requests, wanted)
        alone = [asked(strategy, model, [s], [r], wanted)[0] for s, r in zip(sources, requests, strict=True)]
        order = random.Random(seed).sample(range(6), 6)
        permuted = asked(strategy, model, [sources[i] for i in order], [requests[i] for i in order], wanted)
        assert together == alone
        assert permuted == [together[i] for i in order]


def test_a_beam_of_one_is_greedy_search_under_control_too():
    wanted = DecodingSettings(beam_size=1, no_repeat_ngram=2)
    for seed in range(10):
        model, sources = Table(len(RAW), seed, ending=0.5), sources_of(seed, 5, len(RAW))
        requests = requests_of(sources, limits_of(sources), seed)
        assert asked(beam_search, model, sources, requests, wanted) == asked(greedy, model, sources, requests, wanted)
