"""A run whose text is cut anew in every epoch is bit by bit the same however often it is stopped."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mtcli.data import shards
from mtcli.data import tokenizer as tokenizers
from mtcli.data.corpus import Account, open_corpora
from mtcli.errors import InterruptedRun, UsageError
from mtcli.settings import TokenizerSettings
from mtcli.training import validate
from mtcli.training.interrupt import Interrupt
from mtcli.training.plan import Request, settle
from tests.training.tiny import Recorder, run, same_state, same_weights, stored, wishes

SAMPLING = {"unigram": {"unigram_temperature": 5.0}, "bpe": {"bpe_dropout": 0.3}}


@pytest.fixture(scope="module", params=list(SAMPLING))
def flags(request: pytest.FixtureRequest, corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a run with a tokenizer of either kind, and the setting for it."""
    home = tmp_path_factory.mktemp("tokenizer")
    (corpus,) = open_corpora([str(corpora / "train")], "en", "de")
    tokenizers.train(corpus.pairs(Account()), TokenizerSettings(vocab_size=320, tokenizer_model=request.param), home)
    return wishes(corpora, tokenizer=str(home), **SAMPLING[request.param])


@pytest.mark.parametrize("shard", [shards.SHARD, 40])
def test_stopped_in_the_middle_of_an_epoch_and_taken_up_again(
    shard: int, flags: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", shard)
    monkeypatch.setattr(shards, "WINDOW", 5)
    whole = run(flags, tmp_path / "whole")
    places = []
    for step in (3, 8, 15):
        interrupt = Interrupt()
        stop = Recorder({step: partial(interrupt.note, signal.SIGTERM, None)})
        with pytest.raises(InterruptedRun):
            run(flags, tmp_path / "parts", stop, interrupt)
        resume = stored(tmp_path / "parts", step).resume
        assert resume is not None
        places.append(resume.values["progress"]["place"])
    assert all(place["index"] for place in places)
    assert places[-1]["epoch"] > 0
    assert any(place["shard"] for place in places) == (shard == 40)
    assert same_state(run(flags, tmp_path / "parts").checkpoint(20), whole.checkpoint(20))
    plain = run({**flags, "bpe_dropout": 0.0, "unigram_temperature": 0.0}, tmp_path / "plain")
    assert not same_weights(plain.checkpoint(5), whole.checkpoint(5))


def test_validation_is_of_plain_text(flags: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[list[int]]] = []
    in_order = validate.in_order

    def spy(corpus: Any, max_tokens: int) -> Any:
        seen.append([corpus.source(pair).tolist() for pair in range(len(corpus))])
        return in_order(corpus, max_tokens)

    monkeypatch.setattr(validate, "in_order", spy)
    run({**flags, "max_steps": 4, "validate_every": 2}, tmp_path / "run")
    lines = (Path(flags["valid"][0]).parent / "valid.en").read_text().splitlines()
    assert seen == [tokenizers.Tokenizer.load(Path(flags["tokenizer"])).encode_source(lines)] * 2


@pytest.mark.parametrize("named", [True, False])
def test_a_setting_for_another_kind_of_tokenizer_is_refused(
    named: bool, flags: dict[str, Any], corpora: Path, tmp_path: Path
) -> None:
    kind = "bpe" if "bpe_dropout" in flags else "unigram"
    tokenizer = {"tokenizer": flags["tokenizer"]} if named else {"tokenizer": "", "tokenizer_model": kind}
    for other, setting in SAMPLING.items():
        asked = Request({}, {**wishes(corpora), **tokenizer, **setting})
        if other == kind:
            settle(asked, tmp_path, Recorder())
            continue
        (flag,) = setting
        with pytest.raises(UsageError, match=f"--{flag.replace('_', '-')} is for {other} tokenizers"):
            settle(asked, tmp_path, Recorder())
    with pytest.raises(UsageError, match="tokenizers"):
        settle(
            Request({}, {**wishes(corpora), **tokenizer, **SAMPLING["bpe"], **SAMPLING["unigram"]}),
            tmp_path,
            Recorder(),
        )
