"""The corpus that is written, and what is seen of a process' memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import streaming
from streaming import CHUNK, LENGTHS, LETTERS, WORDS, Moment, Place, row_of, thinned, watched, write_corpus

LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


def test_a_corpus_matches_line_by_line_and_is_the_start_of_a_longer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "CHUNK", 300)
    texts = {}
    for name, pairs in (("short", 450), ("long", 700)):
        write_corpus(tmp_path / name, pairs)
        texts[name] = [
            (tmp_path / f"{name}.{side}").read_text(encoding="ascii").splitlines() for side in ("en", "de")
        ]
        assert [len(side) for side in texts[name]] == [pairs, pairs]
    assert all(long[:450] == short for long, short in zip(texts["long"], texts["short"], strict=True))
    english, german = ([line.split(" ") for line in side] for side in texts["long"])
    assert [len(line) for line in english] == [len(line) for line in german]
    assert {len(line) for line in english} == set(range(LENGTHS[0], LENGTHS[1] + 1))
    words = [word for line in english for word in line]
    assert {len(word) for word in words} == set(range(LETTERS[0], LETTERS[1] + 1))
    meanings: dict[str, set[str]] = {}
    for word, other in zip(words, (word for line in german for word in line), strict=True):
        meanings.setdefault(word, set()).add(other)
    # Short words may be drawn twice.
    assert sum(len(found) == 1 for found in meanings.values()) > 0.9 * len(meanings)


def test_words_are_numbers_of_a_dictionary_with_one_end_in_each_sentence() -> None:
    drawn = streaming.running_words(np.random.default_rng(1), CHUNK, 500)
    assert (drawn >= WORDS).sum() == 500
    assert drawn[-1] >= WORDS
    assert 0 <= drawn.min() < drawn.max() < 2 * WORDS


@LINUX
def test_memory_is_seen_by_phase(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    program = (
        "import sys, time; from pathlib import Path; time.sleep(0.5); Path(sys.argv[1]).touch();"
        "held = b'1' * (64 << 20); time.sleep(0.5); print('done')"
    )
    moments, said = watched(
        [sys.executable, "-c", program, str(marker)],
        Place(tmp_path, {}),
        lambda: "training" if marker.exists() else "reading",
    )
    assert said == "done\n"
    before, after = (max(m.private for m in moments if m.phase == phase) for phase in ("reading", "training"))
    assert 60 < after - before < 80


@LINUX
def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        watched([sys.executable, "-c", "raise SystemExit('no such thing')"], Place(tmp_path, {}), lambda: "reading")


def test_a_row_has_the_peaks_of_each_phase() -> None:
    figures = [("reading", 1, 30, 10), ("reading", 4, 20, 5), ("training", 5, 70, 9), ("an epoch", 2, 7, 8)]
    moments = [Moment(phase, float(s), float(p), float(m)) for phase, s, p, m in figures]
    times = {"shards": 2, "pairs": 100, "epoch": 4.0, "first": 0.5, "far": 0.7}
    row = row_of(100, moments, times)
    assert [row[f"{phase}: private MB"] for phase in ("reading", "training", "an epoch")] == [30, 70, 7]
    assert [row[f"{phase}: mapped MB"] for phase in ("reading", "training", "an epoch")] == [10, 9, 8]
    assert row["reading: pairs/s"] == row["an epoch: pairs/s"] == 25
    assert len(thinned(moments * 100)) <= streaming.KEPT
