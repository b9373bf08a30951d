"""A tokenizer gives text back exactly, is the same in every training, and never believes a damaged file."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli import layout
from mtcli.data import tokenizer as tokenizers
from mtcli.data.corpus import SentencePair
from mtcli.data.normalize import normalize
from mtcli.data.tokenizer import EOS, JOINT, SEPARATE, SPACE, Tokenizer, train
from mtcli.errors import DataError, ModelError, UsageError
from mtcli.settings import TokenizerSettings

ENGLISH = ["the cat sees the dog", "a dog eats an apple", "where is my house ?", "I can't see it !", "you are big"]
GERMAN = [
    "die Katze sieht den Hund",
    "ein Hund frisst einen Apfel",
    "wo ist mein Haus ?",
    "größer als du",
    "ja ▁ ▁▂▃",
]
PAIRS = [SentencePair(f"{s} {t}", f"{t} {s}") for s in ENGLISH for t in GERMAN] + [
    SentencePair(s, t) for s, t in zip(ENGLISH, GERMAN, strict=True)
]
KINDS = [
    {"tokenizer_model": model, "joint": joint, "byte_fallback": fallback}
    for model in ("unigram", "bpe")
    for joint in (True, False)
    for fallback in (True, False)
]


def trained(directory: Path, pairs: list[SentencePair] = PAIRS, **values: Any) -> tokenizers.Trained:
    return train(pairs, TokenizerSettings(**{"vocab_size": 320, **values}), directory)


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return trained(tmp_path_factory.mktemp("tokenizer"), tokenizer_model=request.param).tokenizer


odd = st.sampled_from([
    "▁", "▁▁", " ▁ ", "<s>", "</s>", "<unk>", "<pad>", "<0x0A>", "⁇", "▅", "👩‍👩‍👧", "e\u0301\u0323", "שלום",
    "می‌خواهم", "\u202eabc\u202c", "\u2028", "m²", "½", "\ufffd", "[/b]", "\x1b[31m", "\u00a0", "ﬁ", "한국",
    "\U0010ffff",
])  # fmt: skip
texts = st.lists(st.text(max_size=10) | odd | st.sampled_from(ENGLISH), max_size=8).map("".join).map(normalize)


@settings(max_examples=300, deadline=None)
@given(st.lists(texts.filter(lambda text: "\ufdd0" not in text), max_size=4))
def test_normalised_text_comes_back_exactly(tokenizer: Tokenizer, lines: list[str]) -> None:
    tokens = tokenizer.encode_target(lines)
    assert tokenizer.decode_target(tokens) == lines
    assert all(token > layout.EOS for row in tokens for token in row)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 319), max_size=20), max_size=4))
def test_whatever_a_model_says_is_one_line_without_control_characters(
    tokenizer: Tokenizer, rows: list[list[int]]
) -> None:
    lines = tokenizer.decode_target(rows)
    assert len(lines) == len(rows)
    assert not any(unicodedata.category(character) == "Cc" for line in lines for character in line)
    without = [[token for token in row if token > layout.EOS] for row in rows]
    assert tokenizer.decode_target(without) == lines


def test_a_line_feed_spelled_in_bytes_is_a_space(tokenizer: Tokenizer) -> None:
    number = {tokenizer.pieces_target([token])[0]: token for token in range(tokenizer.target_size)}
    spelled = [number[piece] for piece in ("<0x61>", "<0x0A>", "<0x62>", "<0x0D>", "<0xE2>", "<0x63>")]
    assert tokenizer.decode_target([spelled]) == ["a b \ufffdc"]


def test_special_tokens_have_the_numbers_that_batches_use(tokenizer: Tokenizer) -> None:
    ours = tokenizers.PAD, tokenizers.UNK, tokenizers.BOS, tokenizers.EOS
    assert ours == (layout.PAD, layout.UNK, layout.BOS, layout.EOS)
    assert tokenizer.pieces_target(ours) == ["<pad>", "<unk>", "<s>", "</s>"]


def test_a_batch_is_encoded_as_its_lines_are(tokenizer: Tokenizer) -> None:
    lines = [pair.source for pair in PAIRS] * (tokenizers.MANY // len(PAIRS) + 1)
    assert tokenizer.encode_source(lines) == [tokenizer.encode_source([line])[0] for line in lines]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_what_was_saved_is_what_is_loaded(tmp_path: Path, kind: dict[str, Any]) -> None:
    result = trained(tmp_path / "first", vocab_size=32_000, **kind)
    loaded = Tokenizer.load(tmp_path / "first")
    again = Tokenizer.from_bytes(loaded.files())
    assert loaded.joint == kind["joint"]
    assert loaded.digest == again.digest == result.tokenizer.digest
    assert sorted(loaded.files()) == sorted([JOINT] if kind["joint"] else SEPARATE)
    assert loaded.decode_target(again.encode_target(GERMAN[:4])) == GERMAN[:4]
    # 30 lines cannot give 32,000 pieces; that is no error, but it is told.
    assert result.reduced
    assert str(loaded.target_size) in result.notes()[0]
    assert max(token for row in loaded.encode_source(ENGLISH) for token in row) < loaded.source_size < 32_000


def test_the_tokenizer_of_the_other_kind_leaves_the_directory(tmp_path: Path) -> None:
    for joint in (True, False, True):
        result = trained(tmp_path, joint=joint)
        assert Tokenizer.load(tmp_path).digest == result.tokenizer.digest


def test_vocabularies_have_the_size_asked_for(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert tokenizer.source_size == tokenizer.target_size == 320
    assert trained(tmp_path).notes() == []


def test_training_is_the_same_in_another_process_and_with_other_threads(tmp_path: Path) -> None:
    script = """if True:
        import sys
        from pathlib import Path
        from mtcli.data import tokenizer
        from mtcli.data.corpus import SentencePair
        from mtcli.settings import TokenizerSettings
        tokenizer.SAMPLE = 100
        pairs = [SentencePair(f"{i} and {i * i}", f"{i} und {i + i}") for i in range(300)]
        print(tokenizer.train(pairs, TokenizerSettings(), Path(sys.argv[1])).tokenizer.digest)
        assert "torch" not in sys.modules
    """
    runs = [
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / threads)],
            env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
        )
        for threads in ("1", "3")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert not runs[0].stderr


def test_the_sample_favours_no_part_of_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "SAMPLE", 3000)
    numbers = [int(pair.source) for pair in tokenizers._sample(SentencePair(str(i), "") for i in range(10_000))]
    assert len(set(numbers)) == 3000
    tenths = Counter(number // 1000 for number in numbers)
    assert all(240 < tenths[tenth] < 360 for tenth in range(10))  # 300 expected; four standard deviations


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_too_small_a_vocabulary_names_one_that_works(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError) as raised:
        trained(tmp_path, vocab_size=100, tokenizer_model=kind)
    smallest = int(raised.value.details[0].split("--vocab-size to ")[1].split()[0])
    assert trained(tmp_path, vocab_size=smallest, tokenizer_model=kind).tokenizer.source_size == smallest
    with pytest.raises(UsageError):
        trained(tmp_path, vocab_size=smallest - 1, tokenizer_model=kind)


@pytest.mark.parametrize("lines", [[], [""], [" "], ["x" * (tokenizers.LONGEST + 1)]])
@pytest.mark.parametrize("kind", KINDS[::3], ids=str)
def test_without_text_there_is_no_tokenizer(tmp_path: Path, lines: list[str], kind: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        trained(tmp_path, [SentencePair(line, line) for line in lines], **kind)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_text_that_looks_like_special_tokens_becomes_none(tmp_path: Path, kind: str) -> None:
    lines = ["<s>", "</s> <pad>", f"{SPACE}a", "<unk><0x41>", "\x00 \x01", "plain words"] * 5
    tokenizer = trained(tmp_path, [SentencePair(line, line) for line in lines], tokenizer_model=kind).tokenizer
    for row in tokenizer.encode_source(lines):
        assert min(row) > layout.EOS
    assert tokenizer.decode_target(tokenizer.encode_target(["a▁b ▁ ▁"])) == ["a▁b ▁ ▁"]


def test_no_tokenizer_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=tmp_path.name):
        Tokenizer.load(tmp_path)
    (tmp_path / "source.model").write_bytes(b"")
    with pytest.raises(ModelError, match=r"(?s)no tokenizer.*found: source\.model"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.model").mkdir()
    with pytest.raises(ModelError, match="cannot be read"):
        Tokenizer.load(tmp_path)


def test_other_special_tokens_are_refused(tmp_path: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(ENGLISH), model_prefix=str(tmp_path / "tokenizer"), vocab_size=35, minloglevel=3
    )
    with pytest.raises(ModelError, match="special tokens"):
        Tokenizer.load(tmp_path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_model_is_refused_or_works(tokenizer: Tokenizer, data: st.DataObject) -> None:
    model = bytearray(tokenizer.files()[JOINT])
    # Half of the damage goes where it hurts most: the settings behind the pieces.
    tail = len(model) - 400
    for place in data.draw(st.lists(st.integers(0, len(model) - 1) | st.integers(tail, len(model) - 1), max_size=4)):
        model[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.just(len(model)) | st.integers(0, len(model)))
    try:
        damaged = Tokenizer.from_bytes({JOINT: bytes(model[:cut])})
    except ModelError:
        return
    rows = damaged.encode_target(["the cat é ▁ 日本", ""])
    assert len(damaged.decode_target(rows)) == 2


def test_tokens_are_few_when_the_vocabulary_knows_the_language(tokenizer: Tokenizer) -> None:
    known, unknown = tokenizer.encode_source([ENGLISH[0], "ქართული ენა"])
    assert len(known) < len(ENGLISH[0]) / 1.5
    assert len(unknown) >= len("ქართული ენა".replace(" ", "").encode())


@pytest.mark.parametrize("kind", KINDS)
def test_the_spelling_of_tokens_is_what_they_add_to_the_text(kind: dict[str, Any], tmp_path: Path) -> None:
    """But for spaces before the first word, and how many U+FFFD stand for bytes that are no character."""
    tokenizer = trained(tmp_path, **kind).tokenizer
    spelling, numbers = tokenizer.spelling_target(), random.Random(1)
    assert spelling[: EOS + 1] == [""] * 4
    rows = [[numbers.randrange(4, len(spelling)) for _ in range(numbers.randrange(1, 9))] for _ in range(300)]
    rows += tokenizer.encode_target(GERMAN)
    for tokens, text in zip(rows, tokenizer.decode_target(rows), strict=True):
        parts = [each if isinstance(each, bytes) else each.encode() for each in (spelling[token] for token in tokens)]
        expected = tokenizers.CONTROL.sub(" ", b"".join(parts).decode("utf-8", "replace"))
        one, other = (re.sub("\ufffd+", "\ufffd", each).lstrip() for each in (text, expected))
        assert one == other
