"""Pieces as text: together they are the text, and each is its part."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.data.corpus import SentencePair
from mtcli.data.normalize import normalize
from mtcli.data.surfaces import spelled, surfaces
from mtcli.data.tokenizer import EOS, PAD, Tokenizer, train
from mtcli.settings import TokenizerSettings


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    pairs = [SentencePair(f"a dog runs {n} ▁ x", f"ein Hund läuft, 犬が走る {n}") for n in range(40)]
    kind = TokenizerSettings(vocab_size=320, tokenizer_model=request.param, character_coverage=0.98)
    return train(pairs, kind, tmp_path_factory.mktemp("tokenizer")).tokenizer


@settings(deadline=None, max_examples=60)
@given(line=st.text(max_size=20).map(normalize))
def test_tokens_of_a_source_line_add_up_to_it(tokenizer: Tokenizer, line: str) -> None:
    found = tokenizer.surfaces_source(line)
    assert len(found) == len(tokenizer.encode_source([line])[0])
    assert "".join(found).removeprefix(" ") == line


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_any_target_tokens_add_up_to_their_text(tokenizer: Tokenizer, data: st.DataObject) -> None:
    tokens = data.draw(st.lists(st.integers(0, tokenizer.target_size - 1), max_size=20))
    found = tokenizer.surfaces_target(tokens)
    assert len(found) == len(tokens)
    assert "".join(found).split() == tokenizer.decode_target([tokens])[0].split()


def test_special_tokens_add_nothing_and_part_nothing(tokenizer: Tokenizer) -> None:
    first, last = tokenizer.encode_target(["é"])[0][-2:]
    assert tokenizer.pieces_target([first, last]) == ["<0xC3>", "<0xA9>"]
    assert tokenizer.surfaces_target([first, PAD, last, EOS]) == ["", "", "é", ""]


def test_a_character_in_bytes_is_that_of_the_last() -> None:
    assert spelled("é犬\U0001f600a".encode()) == ["", "é", "", "", "犬", "", "", "", "\U0001f600", "a"]
    assert spelled(b"\xe4\xbda\xff") == ["\ufffd", "\ufffd", "a", "\ufffd"]
    assert surfaces(["▁a", "<0xC3>", "<0xA9>", "<0x61>"], [False, True, True, False]) == ["▁a", "", "é", "<0x61>"]


@given(st.text(max_size=8), st.binary(max_size=8))
def test_bytes_that_are_text_are_read_as_text(text: str, others: bytes) -> None:
    assert "".join(spelled(text.encode("utf-8", "ignore"))) == text.encode("utf-8", "ignore").decode()
    assert len(spelled(others)) == len(others)
