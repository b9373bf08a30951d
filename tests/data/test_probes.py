"""Probe tasks: each target is what an independent definition says, and the corpora are what was asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcli import catalog
from mtcli.data.corpus import SentencePair
from mtcli.data.probes import Probe, Row, write
from mtcli.data.tokenizer import train
from mtcli.errors import ResourceError, UsageError
from mtcli.settings import TokenizerSettings

TASKS = pytest.mark.parametrize("task", catalog.TASK)
PROBES = st.builds(
    lambda task, shortest, more, symbols: Probe(task, shortest, shortest + more, symbols if free(task) else None),
    st.sampled_from(list(catalog.TASK)),
    st.integers(1, 40),
    st.integers(0, 40),
    st.integers(2, 26),
)


def free(task: str) -> bool:
    """Whether the user may choose the alphabet."""
    return task != "memory-game"


def pairs(probe: Probe, count: int, seed: int = 1) -> list[tuple[Row, Row]]:
    return list(islice(probe.pairs(seed), count))


def keeps_order(source: Row, target: Row) -> bool:
    return all(source[place] == target[place] for place in range(len(source)))


def turns_round(source: Row, target: Row) -> bool:
    return all(source[place] == target[len(source) - 1 - place] for place in range(len(source)))


def rises(source: Row, target: Row) -> bool:
    return Counter(source) == Counter(target) and all(ord(a) <= ord(b) for a, b in pairwise(target))


def remembers(source: Row, target: Row) -> bool:
    text = "".join(source)
    return "".join(target) == ("b" if re.fullmatch("a*ba*", text) else "a" if re.fullmatch("a+", text) else None)


LAWS = {"copy": keeps_order, "reverse": turns_round, "sort": rises, "memory-game": remembers}


@given(probe=PROBES, seed=st.integers(0, 2**32))
def test_targets_and_sizes_are_those_asked_for(probe: Probe, seed: int) -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyz"[: probe.symbols or 2]
    for source, target in pairs(probe, 20, seed):
        assert LAWS[probe.task](source, target)
        assert len(target) == (len(source) if free(probe.task) else 1)
        assert probe.shortest <= len(source) <= probe.longest
        assert set(source) | set(target) <= set(alphabet)


@given(probe=PROBES, seed=st.integers(0, 2**32), fewer=st.integers(0, 15))
def test_a_seed_says_everything_and_fewer_lines_are_the_first_of_more(probe: Probe, seed: int, fewer: int) -> None:
    assert pairs(probe, fewer, seed) == pairs(probe, 15, seed)[:fewer]


@TASKS
def test_another_seed_is_another_corpus(task: str) -> None:
    assert pairs(Probe(task), 50, seed=1) != pairs(Probe(task), 50, seed=2)


def evenly(counts: Counter[object], kinds: int) -> bool:
    """Whether all kinds are there, each within 5 standard deviations of its share."""
    total = counts.total()
    spread = (total / kinds * (1 - 1 / kinds)) ** 0.5
    return len(counts) == kinds and all(abs(count - total / kinds) < 5 * spread for count in counts.values())


@TASKS
def test_all_lengths_are_equally_frequent(task: str) -> None:
    assert evenly(Counter(len(source) for source, _ in pairs(Probe(task, 3, 12), 4000)), 10)


def test_the_symbols_of_a_row_are_equally_frequent() -> None:
    assert evenly(Counter(symbol for source, _ in pairs(Probe("copy", symbols=26), 1000) for symbol in source), 26)


def test_the_memory_game_has_two_equally_frequent_answers_and_no_favourite_place() -> None:
    drawn = pairs(Probe("memory-game", 10, 10), 4000)
    assert evenly(Counter(target[0] for _, target in drawn), 2)
    assert evenly(Counter(source.index("b") for source, target in drawn if target == ["b"]), 10)


@pytest.mark.parametrize(
    ("words", "reasons"),
    [
        ({"shortest": 0}, ["at least 1 symbol, not 0"]),
        ({"shortest": 9, "longest": 3}, ["the longest sentence, 3, is shorter than the shortest, 9"]),
        ({"symbols": 1}, ["2 to 26 symbols, not 1"]),
        ({"symbols": 27, "shortest": -1, "longest": -2}, ["not 27", "not -1", "-2, is shorter"]),
        ({"task": "memory-game", "symbols": 3}, ["memory-game has 2 symbols, not 3"]),
        ({"task": "memory-gme"}, ["did you mean 'memory-game'?"]),
    ],
)
def test_what_cannot_be_is_refused_with_every_reason(words: dict[str, object], reasons: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        Probe(**{"task": "copy", **words})
    assert all(reason in str(caught.value) for reason in reasons)


@TASKS
def test_a_symbol_is_one_token(task: str, tmp_path: Path) -> None:
    rows = pairs(Probe(task), 300)
    corpus = [SentencePair(" ".join(source), " ".join(target)) for source, target in rows]
    tokenizer = train(corpus, TokenizerSettings(), tmp_path).tokenizer
    for (source, target), pair in zip(rows, corpus, strict=True):
        assert len(tokenizer.encode_source([pair.source])[0]) == len(source)
        assert len(tokenizer.encode_target([pair.target])[0]) == len(target)


def test_the_files_hold_the_pairs_line_by_line(tmp_path: Path) -> None:
    files = tmp_path / "new" / "x.in", tmp_path / "new" / "x.out"
    write(Probe("sort", symbols=4), 30, 7, *files)
    lines = [path.read_bytes().decode().split("\n") for path in files]
    assert lines[0].pop() == lines[1].pop() == ""
    assert [(a.split(" "), b.split(" ")) for a, b in zip(*lines, strict=True)] == pairs(
        Probe("sort", symbols=4), 30, 7
    )


@pytest.mark.parametrize("there", ["x.in", "x.out"])
def test_what_exists_is_kept_and_nothing_is_put_beside_it(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=f"{there} exists already"):
        write(Probe("copy"), 3, 1, tmp_path / "x.in", tmp_path / "x.out")
    assert [path.read_text("utf-8") for path in tmp_path.iterdir()] == ["mine"]


def interrupted() -> Iterator[tuple[Row, Row]]:
    yield ["a"], ["a"]
    raise KeyboardInterrupt


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Probe, "pairs", lambda *_: interrupted())
    with pytest.raises(KeyboardInterrupt):
        write(Probe("copy"), 3, 1, tmp_path / "a", tmp_path / "b")
    assert not [*tmp_path.iterdir()]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"cannot write .*file"):
        write(Probe("copy"), 3, 1, tmp_path / "file" / "new" / "x.in", tmp_path / "file" / "new" / "x.out")
