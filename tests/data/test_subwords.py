"""Sentences in random pieces say what they said in plain ones, and what they are depends on a key alone."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.data.corpus import SentencePair
from mtcli.data.encoded import Sentences
from mtcli.data.subwords import Cutter, keys_of, kinds, uniforms
from mtcli.data.tokenizer import SPACE, UNK, Tokenizer, train
from mtcli.settings import TokenizerSettings, TrainingSettings
from tests.data.test_tokenizer import PAIRS, texts

ROOT = Path(__file__).resolve().parents[2]
BOTH = TrainingSettings(bpe_dropout=0.3, unigram_temperature=5)
NEARLY_PLAIN = TrainingSettings(bpe_dropout=1e-12, unigram_temperature=1e-3)
LINES = [pair.target for pair in PAIRS]
LONG = 10_000


@pytest.fixture(scope="module", params=["unigram", "bpe", "unigram without bytes", "bpe without bytes"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    kind, *without = request.param.split(" ")
    values: Any = {"tokenizer_model": kind, "byte_fallback": not without}
    return train(PAIRS, TokenizerSettings(vocab_size=320, **values), tmp_path_factory.mktemp("tokenizer")).tokenizer


def cutter(tokenizer: Tokenizer, settings: TrainingSettings = BOTH) -> Cutter:
    found = Cutter.of(tokenizer.files()["tokenizer.model"], settings)
    assert found
    return found


def rows(sentences: Sentences) -> list[list[int]]:
    return [sentences[index].tolist() for index in range(len(sentences))]


def cut(tokenizer: Tokenizer, plain: list[list[int]], keys: np.ndarray, longest: int = LONG) -> list[list[int]]:
    return rows(cutter(tokenizer).cut(Sentences.of(plain), keys, longest))


@settings(deadline=None)
@given(st.lists(texts.filter(bool), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_other_pieces_say_the_same(tokenizer: Tokenizer, lines: list[str], seed: int) -> None:
    plain = tokenizer.encode_target(lines)
    drawn = cut(tokenizer, plain, keys_of([seed], np.arange(len(lines))))
    assert tokenizer.decode_target(drawn) == tokenizer.decode_target(plain)
    for old, new in zip(plain, drawn, strict=True):
        assert old.count(UNK) == new.count(UNK)
        assert tokenizer.encode_target(tokenizer.decode_target([new])) == [old] or UNK in old or "\ufdd0" in lines


def test_what_is_hardly_random_is_plain(tokenizer: Tokenizer) -> None:
    plain = tokenizer.encode_target(LINES)
    keys = keys_of([1], np.arange(len(plain)))
    assert rows(cutter(tokenizer, NEARLY_PLAIN).cut(Sentences.of(plain), keys, LONG)) == plain
    drawn = cut(tokenizer, plain, keys)
    assert sum(new != old for old, new in zip(plain, drawn, strict=True)) > len(plain) / 2


def test_what_follows_an_unknown_character_is_cut_too(tokenizer: Tokenizer) -> None:
    names = tokenizer.pieces_target(range(tokenizer.target_size))
    longest = max((name for name in names if name.isalpha()), key=len)
    plain = tokenizer.encode_target([f"\U00012345{longest}"] * 50)
    assert plain[0][-1] == names.index(longest)
    drawn = cut(tokenizer, plain, keys_of([1], np.arange(50)))
    assert len({tuple(row) for row in drawn}) > 1


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_mark_of_one_character_before_a_sentence_stays_one_however_it_is_cut(kind: str, tmp_path: Path) -> None:
    """What docs/recipes.md says of tags."""
    marked = [SentencePair(f"¤ {pair.source}", pair.target) for pair in PAIRS]
    learnt = train(PAIRS + marked, TokenizerSettings(vocab_size=320, tokenizer_model=kind), tmp_path).tokenizer
    plain = learnt.encode_source([pair.source for pair in marked] * 20)
    for row in plain + cut(learnt, plain, keys_of([1], np.arange(len(plain)))):
        pieces = learnt.pieces_source(row)
        assert pieces[0] == f"{SPACE}¤" or pieces[:2] == [SPACE, "¤"]
        assert pieces[1 + (pieces[0] == SPACE)].startswith(SPACE)


def test_sentences_that_would_get_too_long_stay_as_they_are(tokenizer: Tokenizer) -> None:
    plain = tokenizer.encode_target(LINES)
    keys = keys_of([1], np.arange(len(plain)))
    drawn = cut(tokenizer, plain, keys)
    longest = sorted(map(len, drawn))[len(drawn) // 2]
    expected = [new if len(new) <= longest else old for old, new in zip(plain, drawn, strict=True)]
    assert cut(tokenizer, plain, keys, longest) == expected
    assert expected not in (plain, drawn)


def test_pieces_depend_on_the_key_and_the_sentence_alone(tokenizer: Tokenizer) -> None:
    plain = tokenizer.encode_target(LINES)
    keys = keys_of([3, 1, 0], np.arange(len(plain)))
    drawn = cut(tokenizer, plain, keys)
    order = np.random.default_rng(0).permutation(len(plain))[: len(plain) // 2]
    assert cut(tokenizer, [plain[index] for index in order], keys[order]) == [drawn[index] for index in order]
    assert cut(tokenizer, plain, keys_of([3, 2, 0], np.arange(len(plain)))) != drawn
    same = cut(tokenizer, [plain[0]] * 50, keys_of([5], np.arange(50)))
    assert len({tuple(row) for row in same}) > 10


def test_another_process_draws_the_same(tmp_path: Path) -> None:
    """SentencePiece's own sampling would not."""
    tokenizer = Tokenizer(learned("unigram"))
    tokenizer.save(tmp_path)
    plain = tokenizer.encode_target(LINES[:5])
    program = (
        "from pathlib import Path; from mtcli.data.subwords import *; from mtcli.settings import TrainingSettings;"
        f"model = (Path({str(tmp_path)!r}) / 'tokenizer.model').read_bytes();"
        f"cutter = Cutter.of(model, TrainingSettings(unigram_temperature={BOTH.unigram_temperature}));"
        f"drawn = cutter.cut(Sentences.of({plain}), keys_of([7], np.arange(5)), {LONG});"
        "print([drawn[index].tolist() for index in range(5)])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(cut(tokenizer, plain, keys_of([7], np.arange(5))))


def test_random_numbers_are_even_and_unlike() -> None:
    keys = keys_of([1, 0, 0], np.arange(2000))
    numbers = np.stack([uniforms(keys, np.full(2000, column)) for column in range(50)])
    assert 0 <= numbers.min() < 1e-4
    assert 1 - 1e-4 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.005
    assert np.abs(np.corrcoef(numbers) - np.eye(50)).max() < 0.12
    assert np.abs(np.corrcoef(numbers[:, :50].T) - np.eye(50)).max() < 0.7
    assert len(np.unique(numbers)) == numbers.size
    assert not np.intersect1d(keys, keys_of([1, 0, 1], np.arange(2000))).size


def learned(kind: str, **values: Any) -> bytes:
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=model,
        model_type=kind,
        vocab_size=150,
        hard_vocab_limit=False,
        minloglevel=3,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        **values,
    )
    return model.getvalue()


def test_a_setting_is_for_its_kind_of_tokenizer() -> None:
    models = {kind: learned(kind) for kind in ("unigram", "bpe", "word", "char")}
    by_kind = {"unigram": TrainingSettings(unigram_temperature=5), "bpe": TrainingSettings(bpe_dropout=0.3)}
    for kind, model in models.items():
        assert kinds(Tokenizer(model)) == ({kind} if kind in by_kind else {""})
        assert Cutter.of(model, TrainingSettings()) is None
        for other, chosen in by_kind.items():
            assert (Cutter.of(model, chosen) is not None) == (kind == other)
    assert kinds(Tokenizer(models["bpe"], models["unigram"])) == {"bpe", "unigram"}


def word_borders(tokenizer: Tokenizer, tokens: list[int]) -> set[int]:
    """Where in the text pieces begin with a space."""
    pieces = tokenizer.pieces_target(tokens)
    return {len("".join(pieces[:index])) for index, piece in enumerate(pieces) if piece.startswith(SPACE)}


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("foreign", [{"split_by_whitespace": False}, {"treat_whitespace_as_suffix": True}])
def test_tokenizers_with_pieces_across_words_work_too(kind: str, foreign: dict[str, Any]) -> None:
    tokenizer = Tokenizer(learned(kind, **foreign))
    plain = tokenizer.encode_target(LINES)
    keys = keys_of([1], np.arange(len(plain)))
    drawn = cut(tokenizer, plain, keys)
    if kind == "unigram" and "split_by_whitespace" in foreign:
        kept = [
            word_borders(tokenizer, old) <= word_borders(tokenizer, new)
            for old, new in zip(plain, drawn, strict=True)
        ]
        assert not all(kept)
    assert drawn != plain
    assert tokenizer.decode_target(drawn) == tokenizer.decode_target(plain)
    assert rows(cutter(tokenizer, NEARLY_PLAIN).cut(Sentences.of(plain), keys, LONG)) == plain
