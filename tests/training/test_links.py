"""Word alignments of a file: they stay with their pairs, and are spread over the tokens of the linked words."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtcli.data.corpus import Account, open_corpora
from mtcli.data.encoded import encode
from mtcli.data.tokenizer import Tokenizer
from mtcli.errors import DataError
from mtcli.training import links as linking
from mtcli.training.links import Linked, among_tokens, linked, tokens_of

SOURCES = ["one dog", "", "the xyzzy sees", "one " * 30, "cat", "two cats ☃ und"]
TARGETS = ["hund eins", "katze", "sieht xyzzyx", "eins", "eine katze", "☃ zwei katzen"]
LINES = ["0-1 1-0", "0-0", "1-1 2-0 1-0", "0-0", "", "0-1 1-2 2-0 2-0"]
MOST = 25


def write(place: Path, lines: list[str] = LINES, name: str = "train") -> str:
    """Write the corpus and its alignments; return the corpus' name."""
    for suffix, rows in (("en", SOURCES), ("de", TARGETS), ("links", lines)):
        (place / f"{name}.{suffix}").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return str(place / name)


def read(corpora: Path, cache: Path, *names: str) -> Linked:
    tokenizer, opened = Tokenizer.load(corpora / "tokenizer"), open_corpora(names, "en", "de")
    corpus = encode(opened, tokenizer, MOST, cache, Account())
    return linked(corpus, opened, [f"{name}.links" for name in names], tokenizer, MOST, cache)


def words_of(tokens: list[str]) -> list[int]:
    """Of each piece the number of its word, by the mark with which words begin."""
    numbers, number = [], -1
    for place, piece in enumerate(tokens):
        number += piece.startswith("▁") and (piece != "▁" or not tokens[place + 1].startswith("▁"))
        numbers.append(number)
    return numbers


def test_links_stay_with_their_pairs_and_reach_all_tokens_of_their_words(corpora: Path, tmp_path: Path) -> None:
    """Among pairs that are dropped, and over two corpora."""
    names = [write(tmp_path, name=name) for name in ("first", "second")]
    corpus, tokenizer = read(corpora, tmp_path / "cache", *names), Tokenizer.load(corpora / "tokenizer")
    kept = [0, 2, 4, 5]
    assert len(corpus) == 2 * len(kept)
    longest = 0
    for place, line in enumerate([*kept, *kept]):
        source = words_of(tokenizer.pieces_source(corpus.source(place).tolist()))
        target = words_of(tokenizer.pieces_target(corpus.target(place).tolist()))
        longest = max(longest, len(source) - source[-1])
        wanted = {tuple(map(int, link.split("-"))) for link in LINES[line].split()}
        expected = [
            [t, s] for t, second in enumerate(target) for s, first in enumerate(source) if (first, second) in wanted
        ]
        assert corpus.links[place].reshape(-1, 2).tolist() == expected
    assert longest > 3, "some word has several pieces"


def test_the_cache_gives_the_same(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(tmp_path)
    first = read(corpora, tmp_path / "cache", name)
    with monkeypatch.context() as patch:
        patch.setattr(linking, "every", None)
        again = read(corpora, tmp_path / "cache", name)
    assert again.links.tokens.tolist() == first.links.tokens.tolist()
    write(tmp_path, ["", *LINES[1:]])
    assert len(read(corpora, tmp_path / "cache", name).links[0]) == 0, "another file of the same name"


def test_many_pairs_are_written_in_chunks(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(tmp_path)
    whole = read(corpora, tmp_path / "whole", name)
    monkeypatch.setattr(linking, "PAIRS", 2)
    parts = read(corpora, tmp_path / "parts", name)
    assert parts.links.offsets.tolist() == whole.links.offsets.tolist()
    assert parts.links.tokens.tolist() == whole.links.tokens.tolist()


@pytest.mark.parametrize(
    ("lines", "hints"),
    [
        (LINES[:-1], ["has 5 lines but", "has 6 pairs", "match the corpus line by line"]),
        ([*LINES, ""], ["has 7 lines but", "has 6 pairs"]),
        (["0-1 1-2", *LINES[1:]], ["links line 1 links target word 2, but there are 2", "between white space"]),
        (["2-0", *LINES[1:]], ["source word 2, but there are 2"]),
        (["0-1 1:0", *LINES[1:]], ["line 1: '1:0' is no link", "0-0 1-2"]),
        (["-1-0", *LINES[1:]], ["'-1-0' is no link"]),
    ],
)
def test_what_is_wrong_is_named(lines: list[str], hints: list[str], corpora: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(corpora, tmp_path / "cache", write(tmp_path, lines))
    told = "\n".join([caught.value.message, *caught.value.details])
    assert all(hint in told for hint in hints), told
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_a_token_of_several_words_has_the_links_of_all() -> None:
    source, target = [[0, 1], [2], []], [[0], [0], [1, 2]]
    assert tokens_of(source) == [[0], [0], [1]]
    assert among_tokens(((1, 0), (2, 2), (0, 0)), source, target, "") == [0, 0, 1, 0, 2, 1]
