"""An epoch in pieces of its own: every pair once, saying the same, within the budget, however it is made."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mtcli.data import batches as batching
from mtcli.data import shards
from mtcli.data.batches import Batches, Place
from mtcli.data.corpus import SentencePair
from mtcli.data.encoded import Encoded
from mtcli.data.resegmented import Resegmented
from mtcli.data.tokenizer import Tokenizer, train
from mtcli.settings import TokenizerSettings, TrainingSettings
from tests.data.test_batches import same

WORDS = "the cat sees a dog that eats an apple where my house is big and green or red with many windows"
draw = random.Random(0)
PAIRS = [
    SentencePair(
        " ".join(draw.choices(WORDS.split(), k=draw.randint(1, 12))),
        f"{number} " + " ".join(draw.choices(WORDS.split(), k=6)),
    )
    for number in range(700)
]
LONGEST = 40
SAMPLING = {"unigram": {"unigram_temperature": 20.0}, "bpe": {"bpe_dropout": 0.3}}
Drawn = dict[str, tuple[tuple[int, ...], tuple[int, ...]]]


@pytest.fixture(autouse=True)
def small_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an epoch has several."""
    monkeypatch.setattr(batching, "POOL", 5)


@pytest.fixture(scope="module", params=list(SAMPLING))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Tokenizer, Encoded]:
    values = TokenizerSettings(vocab_size=350, tokenizer_model=request.param)
    tokenizer = train(PAIRS, values, tmp_path_factory.mktemp("tokenizer")).tokenizer
    return request.param, tokenizer, encoded(tokenizer)


def encoded(tokenizer: Tokenizer) -> Encoded:
    sources, targets = [pair.source for pair in PAIRS], [pair.target for pair in PAIRS]
    return Encoded.of(tokenizer.encode_source(sources), tokenizer.encode_target(targets))


def sampled(made: tuple[str, Tokenizer, Encoded], max_tokens: int = 200, seed: int = 1) -> Resegmented:
    kind, tokenizer, corpus = made
    chosen = TrainingSettings(seed=seed, max_tokens=max_tokens, **SAMPLING[kind])  # type: ignore[arg-type]
    return Resegmented(corpus, tokenizer, chosen, LONGEST)


def drawn(batches: Resegmented, tokenizer: Tokenizer, epoch: int) -> Drawn:
    """The pieces of each pair, by its target's text, which no other pair has."""
    found: Drawn = {}
    for corpus, pairs in (each for shard in range(batches.shards) for each in batches.through(epoch, shard)):
        texts = tokenizer.decode_target([corpus.target(pair).tolist() for pair in pairs])
        for pair, text in zip(pairs, texts, strict=True):
            assert text not in found
            found[text] = tuple(corpus.source(pair).tolist()), tuple(corpus.target(pair).tolist())
    return found


def test_every_epoch_has_every_pair_once_and_says_the_same(made: tuple[str, Tokenizer, Encoded]) -> None:
    _, tokenizer, _ = made
    epochs = [drawn(sampled(made), tokenizer, epoch) for epoch in (0, 1)]
    for found in epochs:
        assert sorted(found) == sorted(pair.target for pair in PAIRS)
        sources = tokenizer.decode_target([found[pair.target][0] for pair in PAIRS])
        assert sources == [pair.source for pair in PAIRS]
        assert max(len(side) for sides in found.values() for side in sides) <= LONGEST
    for side in (0, 1):
        assert sum(epochs[0][text][side] != epochs[1][text][side] for text in epochs[0]) > len(PAIRS) / 2


def test_pieces_depend_on_seed_epoch_and_pair_alone(made: tuple[str, Tokenizer, Encoded]) -> None:
    _, tokenizer, _ = made
    used = sampled(made)
    drawn(used, tokenizer, 0)
    expected = drawn(used, tokenizer, 1)
    assert drawn(sampled(made), tokenizer, 1) == expected
    assert drawn(sampled(made, max_tokens=3000), tokenizer, 1) == expected
    assert drawn(sampled(made, seed=2), tokenizer, 1) != expected
    pairs = [[pairs.tolist() for _, pairs in each.through(1)] for each in (used, sampled(made))]
    assert pairs[0] == pairs[1]


def test_pieces_are_the_same_in_shards(made: tuple[str, Tokenizer, Encoded], monkeypatch: pytest.MonkeyPatch) -> None:
    _, tokenizer, _ = made
    expected = drawn(sampled(made), tokenizer, 1)
    steps = sum(1 for _ in sampled(made).through(0))
    monkeypatch.setattr(shards, "SHARD", 200)
    monkeypatch.setattr(shards, "WINDOW", 20)
    batches = sampled(made)
    assert batches.shards == 4
    assert drawn(batches, tokenizer, 1) == expected
    assert batches.steps_per_epoch() == pytest.approx(steps, rel=0.1)
    stream = batches.from_(Place())
    whole = list(islice(stream, int(1.5 * steps)))
    assert {place.shard for _, place in whole} == {0, 1, 2, 3}
    for done in range(1, len(whole), 11):
        batch, after = next(sampled(made).from_(whole[done - 1][1]))
        assert same(batch, whole[done][0])
        assert after == whole[done][1]


def test_the_sides_of_a_pair_are_cut_each_for_itself(made: tuple[str, Tokenizer, Encoded]) -> None:
    kind, tokenizer, corpus = made
    found = sampled((kind, tokenizer, Encoded(corpus.targets, corpus.targets))).drawn(0, np.arange(len(PAIRS)))
    unlike = sum(found.source(pair).tolist() != found.target(pair).tolist() for pair in range(len(PAIRS)))
    assert unlike > len(PAIRS) / 2


def test_batches_keep_to_the_budget_with_the_lengths_that_sentences_have_now(
    made: tuple[str, Tokenizer, Encoded],
) -> None:
    batches = sampled(made)
    sizes = []
    for batch, _ in islice(batches.from_(Place()), batches.steps_per_epoch()):
        widest = max(batch.source.shape[1], batch.target_in.shape[1])
        assert len(batch.source) * widest <= 200
        sizes.append(len(batch.source) * widest)
    assert sum(sizes) / len(sizes) > 0.8 * 200


def test_the_steps_of_an_epoch_are_told_about_right(made: tuple[str, Tokenizer, Encoded]) -> None:
    for max_tokens in (200, 1000):
        batches = sampled(made, max_tokens)
        steps = sum(1 for _ in batches.through(0))
        assert batches.steps_per_epoch() == pytest.approx(steps, rel=0.1)
        assert steps > 1.1 * Batches(made[2], max_tokens, 1).steps_per_epoch()


def test_a_run_resumed_anywhere_sees_what_an_uninterrupted_one_sees(made: tuple[str, Tokenizer, Encoded]) -> None:
    epoch = sum(1 for _ in sampled(made).through(0))
    whole = list(islice(sampled(made).from_(Place()), epoch + 5))
    places = [place for _, place in whole]
    assert places[epoch - 2 : epoch + 1] == [Place(0, epoch - 1), Place(1, 0), Place(1, 1)]
    for done in (1, epoch // 2, epoch - 1, epoch, epoch + 2):
        restored = Place(**json.loads(json.dumps(asdict(places[done - 1]))))
        rest = islice(sampled(made).from_(restored), 3)
        for (batch, after), (expected, expected_after) in zip(rest, whole[done:], strict=False):
            assert same(batch, expected)
            assert after == expected_after


def test_no_more_than_two_pools_are_held(made: tuple[str, Tokenizer, Encoded]) -> None:
    batches = sampled(made)
    pools = {id(corpus): len(corpus) for corpus, _ in list(batches.through(0))}
    assert len(pools) > 5
    assert max(pools.values()) <= 2 * len(PAIRS) / len(pools)
    stream = batches.through(0)
    first, _ = next(stream)
    assert sum(len(pairs) for corpus, pairs in stream if corpus is first) < len(first)


def test_a_tokenizer_for_each_language_is_cut_as_its_kind_is(tmp_path: Path) -> None:
    kinds = {kind: TokenizerSettings(vocab_size=350, tokenizer_model=kind) for kind in ("unigram", "bpe")}  # type: ignore[arg-type]
    models = {kind: train(PAIRS, values, tmp_path / kind).tokenizer for kind, values in kinds.items()}
    tokenizer = Tokenizer(*(models[kind].files()["tokenizer.model"] for kind in ("unigram", "bpe")))
    corpus = encoded(tokenizer)
    for kind, cut, kept in (("unigram", 0, 1), ("bpe", 1, 0)):
        chosen = TrainingSettings(**SAMPLING[kind])  # type: ignore[arg-type]
        drawn = Resegmented(corpus, tokenizer, chosen, LONGEST).drawn(0, np.arange(len(PAIRS)))
        sides = [(drawn.sources, corpus.sources), (drawn.targets, corpus.targets)]
        changed = [sum(new[pair].tolist() != old[pair].tolist() for pair in range(len(PAIRS))) for new, old in sides]
        assert changed[cut] > 100
        assert changed[kept] == 0
