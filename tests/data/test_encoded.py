"""Encoding loses no pair, accounts for all, and its cache is either right or not used."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.data import columns, encoded
from mtcli.data.corpus import Account, Corpus, open_corpora
from mtcli.data.encoded import Encoded, Sentences, encode
from mtcli.data.rows import Place, Row, Unreadable
from mtcli.data.tokenizer import Tokenizer, train
from mtcli.errors import DataError, ResourceError
from mtcli.settings import TokenizerSettings

LINES = ["a b c", "the cat sees the dog", "x", "ein Hund", "größer " * 30, "", "und 日本語 ▁", "wo ist es"] * 6


class Lines:
    """A reader of lines in memory, which counts how often it is read."""

    def __init__(self, sources: list[str], targets: list[str]) -> None:
        self.sources, self.targets = sources, targets
        self.read = 0

    def rows(self) -> Iterator[Row | Unreadable]:
        self.read += 1
        for number, (source, target) in enumerate(zip(self.sources, self.targets, strict=True), 1):
            yield Row(source, target, Place("memory", number))

    def digest(self) -> str:
        return json.dumps([self.sources, self.targets])


def corpus(sources: list[str], targets: list[str], name: str = "memory") -> Corpus:
    return Corpus(name, Lines(sources, targets), ("en", "de"))


@pytest.fixture(scope="module", params=[True, False], ids=["joint", "separate"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    pairs = corpus(LINES, LINES[::-1]).pairs(Account())
    return train(pairs, TokenizerSettings(joint=request.param), tmp_path_factory.mktemp("tokenizer")).tokenizer


@pytest.fixture(scope="module", autouse=True)
def quick_disk() -> Iterator[None]:
    """No power fails here, and waiting for the disk would be most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def content(found: Encoded) -> list[tuple[list[int], list[int]]]:
    return [(found.source(i).tolist(), found.target(i).tolist()) for i in range(len(found))]


def naive(corpora: list[Corpus], tokenizer: Tokenizer, max_length: int) -> list[tuple[list[int], list[int]]]:
    pairs = [pair for corpus in corpora for pair in corpus.pairs(Account())]
    tokens = [(tokenizer.encode_source([p.source])[0], tokenizer.encode_target([p.target])[0]) for p in pairs]
    return [(source, target) for source, target in tokens if max(len(source), len(target)) <= max_length]


sentences = st.sampled_from(LINES) | st.text(st.sampled_from("ab é▁"), max_size=12)


@settings(max_examples=40, deadline=None)
@given(
    pairs=st.lists(st.tuples(sentences, sentences), min_size=1, max_size=12),
    max_length=st.integers(1, 60),
    chunk=st.integers(1, 5),
    two=st.booleans(),
)
def test_tokens_and_account_are_those_of_a_naive_loop_and_the_cache_repeats_them(
    pairs: list[tuple[str, str]],
    max_length: int,
    chunk: int,
    two: bool,
    tokenizer: Tokenizer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    corpora = [corpus(*map(list, zip(*[*pairs, ("a", "b")], strict=True))) for _ in range(1 + two)]
    expected = naive(corpora, tokenizer, max_length)
    cache = tmp_path_factory.mktemp("cache")
    account = Account(read=5, kept=4, dropped=Counter(earlier=1))
    other = deepcopy(account)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoded, "CHUNK_PAIRS", chunk)
        if not expected:
            with pytest.raises(DataError):
                encode(corpora, tokenizer, max_length, cache, account)
            assert list(cache.iterdir()) == []
            return
        found = encode(corpora, tokenizer, max_length, cache, account)
    assert content(found) == expected
    assert account.read == 5 + (len(pairs) + 1) * len(corpora) == account.kept + account.dropped.total()
    assert account.kept == 4 + len(found)
    assert found.sources.lengths.tolist() == [len(source) for source, _ in expected]
    assert found.targets.lengths.tolist() == [len(target) for _, target in expected]
    assert found.source_tokens == sum(len(source) for source, _ in expected)
    assert found.target_tokens == sum(len(target) for _, target in expected)

    read = [corpus.reader.read for corpus in corpora]
    repeated = encode(corpora, tokenizer, max_length, cache, other)
    assert [corpus.reader.read for corpus in corpora] == read, "the cache spares reading"
    assert content(repeated) == expected
    assert other == account


def test_the_cache_depends_on_text_tokenizer_and_length(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text, other = corpus(["a", "b"], ["c", "d"]), corpus(["a", "b"], ["c", "e"])
    smaller = train(text.pairs(Account()), TokenizerSettings(), tmp_path / "tokenizer").tokenizer
    cases = [([text], tokenizer, 9), ([other], tokenizer, 9), ([text], smaller, 9), ([text], tokenizer, 8)]
    cases += [([text, other], tokenizer, 9), ([other, text], tokenizer, 9)]
    for corpora, using, longest in cases:
        found = encode(corpora, using, longest, tmp_path / "cache", Account())
        assert content(found) == naive(corpora, using, longest)
    assert len(list((tmp_path / "cache").iterdir())) == len(cases)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_damaged_cache_is_built_again(
    data: st.DataObject, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    text = corpus(LINES, LINES[::-1])
    expected, account = content(encode([text], tokenizer, 20, cache, Account())), Account()
    (entry,) = cache.iterdir()
    file = data.draw(st.sampled_from(sorted(entry.iterdir())))
    damage = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(damage) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "longer", "remove", "directory"])):
        case "flip":
            damage[place] ^= 1 << data.draw(st.integers(0, 7))
            file.write_bytes(damage)
        case "cut":
            file.write_bytes(damage[:place])
        case "longer":
            file.write_bytes(damage + b"\0")
        case "remove":
            file.unlink()
        case "directory":
            for each in entry.iterdir():
                each.unlink()
            entry.rmdir()
            entry.write_text("in the way")
    assert content(encode([text], tokenizer, 20, cache, account)) == expected
    assert account.read == len(LINES)
    assert [path.name for path in cache.iterdir()] == [entry.name]
    assert columns.read(entry) is not None


def test_an_account_that_was_tampered_with_is_not_believed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text, account = corpus(LINES, LINES[::-1]), Account()
    encode([text], tokenizer, 20, tmp_path, Account())
    description = next(tmp_path.iterdir()) / columns.DESCRIPTION
    written = description.read_text()
    description.write_text(written.replace(f'"read": {len(LINES)}', f'"read": {len(LINES) + 1}'))
    assert description.read_text() != written
    encode([text], tokenizer, 20, tmp_path, account)
    assert account.read == len(LINES)


def test_an_interrupted_encoding_leaves_nothing_behind(tokenizer: Tokenizer, tmp_path: Path) -> None:
    class Interrupted(Lines):
        def rows(self) -> Iterator[Row | Unreadable]:
            yield from super().rows()
            raise KeyboardInterrupt

    stopped = Corpus("memory", Interrupted(["a"], ["b"]), ("en", "de"))
    with pytest.raises(KeyboardInterrupt):
        encode([stopped], tokenizer, 9, tmp_path, Account())
    assert list(tmp_path.iterdir()) == []


def test_the_slower_of_two_writers_succeeds_too(tokenizer: Tokenizer, tmp_path: Path) -> None:
    class Late(Lines):
        """Another process finishes while this corpus is being read."""

        def rows(self) -> Iterator[Row | Unreadable]:
            yield from super().rows()
            if self.read == 1:
                encode([Corpus("memory", self, ("en", "de"))], tokenizer, 9, tmp_path, Account())

    text = Corpus("memory", Late(["a", "b"], ["c", "d"]), ("en", "de"))
    account = Account()
    found = encode([text], tokenizer, 9, tmp_path, account)
    assert content(found) == naive([text], tokenizer, 9)
    assert account.kept == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_arrays_outlive_their_directory(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = corpus(["a", "b"], ["c", "d"])
    found = encode([text], tokenizer, 9, tmp_path, Account())
    columns._remove(next(tmp_path.iterdir()))
    assert content(found) == naive([text], tokenizer, 9)


def test_a_cache_that_cannot_be_written_is_reported(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be kept"):
        encode([corpus(["a"], ["b"])], tokenizer, 9, tmp_path / "file" / "cache", Account())


def test_a_full_disk_is_reported_and_cleaned_up(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="disk is full"):
        encode([corpus(["a"], ["b"])], tokenizer, 9, tmp_path, Account())
    assert list(tmp_path.iterdir()) == []


def test_a_pair_without_tokens_is_dropped(tmp_path: Path) -> None:
    class Mute(Tokenizer):
        """A tokenizer whose normaliser deletes the letter x, as one trained elsewhere may."""

        def encode_source(self, lines: list[str]) -> list[list[int]]:
            return super().encode_source([line.replace("x", "") for line in lines])

    text = corpus(["a", "x"], ["b", "b"])
    model = train(text.pairs(Account()), TokenizerSettings(), tmp_path / "tokenizer").tokenizer.files()
    account = Account()
    found = encode([text], Mute(*model.values()), 9, tmp_path / "cache", account)
    assert len(found) == 1
    assert account.dropped == {"empty": 1}
    assert [str(dropped) for dropped in account.examples] == ["memory line 2: empty"]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**31), max_size=6), max_size=8))
def test_sentences_are_the_lists_they_were_made_of(rows: list[list[int]]) -> None:
    laid = Sentences.of(rows)
    assert [laid[index].tolist() for index in range(len(laid))] == rows
    assert laid.lengths.tolist() == [len(row) for row in rows]
    assert laid.offsets.dtype == np.int64


@pytest.mark.parametrize(("size", "kind"), [(256, "u1"), (65_536, "u2"), (65_537, "u4")])
def test_tokens_take_as_few_bytes_as_the_vocabulary_allows(size: int, kind: str, tmp_path: Path) -> None:
    class Wide:
        source_size = target_size = size
        digest = str(size)

        def encode_source(self, lines: list[str]) -> list[list[int]]:
            return [[size - 1, 4] for _ in lines]

        encode_target = encode_source

    found = encode([corpus(["a"], ["b"])], Wide(), 9, tmp_path, Account())
    assert found.sources.tokens.dtype == np.dtype(kind)
    assert content(found) == [([size - 1, 4], [size - 1, 4])]


def test_two_processes_at_once_both_succeed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer")
    for side in ("en", "de"):
        (tmp_path / f"train.{side}").write_text("".join(f"{i} {side}\n" for i in range(3000)), encoding="utf-8")
    script = """if True:
        import sys
        from pathlib import Path
        from mtcli.data.corpus import Account, open_corpora
        from mtcli.data.encoded import encode
        from mtcli.data.tokenizer import Tokenizer
        home, account = Path(sys.argv[1]), Account()
        corpora = open_corpora([str(home / "train")], "en", "de")
        print(len(encode(corpora, Tokenizer.load(home / "tokenizer"), 99, home / "cache", account)), account)
    """
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert outputs == {"3000 3,000 read = 3,000 kept + 0 dropped\n"}
    assert len(list((tmp_path / "cache").iterdir())) == 1
    found = encode(open_corpora([str(tmp_path / "train")], "en", "de"), tokenizer, 99, tmp_path / "cache", Account())
    assert tokenizer.decode_target([found.target(2999).tolist()]) == ["2999 de"]
