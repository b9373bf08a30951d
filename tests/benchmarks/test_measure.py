"""What the figures of the benchmarks rest on."""

from __future__ import annotations

import sys
from pathlib import Path

import measure
import pytest
from measure import Report, Sample, child, command_line, figure


def test_only_quiet_samples_count() -> None:
    quiet = [Sample(rate, 0.0) for rate in (90.0, 110.0, 100.0)]
    found = figure([*quiet, Sample(10.0, 1.0), Sample(500.0, 0.5)])
    assert (found.median, found.low, found.high) == (100.0, 90.0, 110.0)
    assert (found.quiet, found.all, found.disturbed) == (3, 5, False)


def test_with_too_few_quiet_samples_all_count_and_the_figure_says_so() -> None:
    found = figure([Sample(90.0, 0.0), Sample(50.0, 1.0), Sample(70.0, 1.0)])
    assert (found.median, found.disturbed) == (70.0, True)
    assert "!" in str(found)


def test_a_child_is_measured_and_its_failure_is_loud() -> None:
    program = "import sys; data = bytearray(64 << 20); print(sys.stdin.read().upper(), len(data))"
    done = child([sys.executable, "-c", program], stdin="words")
    assert done.output.split() == ["WORDS", str(64 << 20)]
    assert done.peak_mb > 64  # no upper bound: Linux counts the parent's memory at the moment of the fork
    assert done.seconds > 0
    with pytest.raises(RuntimeError, match="the reason"):
        child([sys.executable, "-c", "raise SystemExit('the reason')"])


def test_results_name_no_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["/home/somebody/benchmarks/train.py", "--peers", "/home/somebody/peers/x", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*words, "--rounds", "2"])
    command = command_line({"PEERS": Path("/home/somebody/peers"), "CORPORA": None})
    assert command == f"python benchmarks/train.py --peers $PEERS/x --results .../{tmp_path.name} --rounds 2"
    rows = [{"what": "a", "rate": figure([Sample(3.0, 0.0)])}, {"what": "b", "ratio": 2.0}]
    path = Report("name", "Title", command, rows, ["note"], measure.versions(), raw=[]).write(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "| what | rate | ratio |" in text
    assert "| b |  | 2 |" in text
    assert "/home/" not in text + path.with_suffix(".json").read_text(encoding="utf-8")


def test_a_copy_without_a_history_is_told_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMMIT", raising=False)
    assert measure.commit(tmp_path) == "unknown"
    monkeypatch.setenv("COMMIT", "abc")
    assert measure.commit(tmp_path) == "abc"
    assert measure.commit(measure.ROOT) != "abc"
