"""Trainings that are done once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trials import once, stored


class Training:
    """Counts how often it is asked for."""

    def __init__(self, *results: dict[str, Any]) -> None:
        self.results = list(results)

    def __call__(self) -> dict[str, Any]:
        return self.results.pop(0)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    train = Training({"loss": 1.0})
    first = once(tmp_path / "a", ["--x", "1"], train)
    assert first == once(tmp_path / "a", ["--x", "1"], train) == stored(tmp_path / "a")
    assert first == {"flags": ["--x", "1"], "loss": 1.0}


def test_a_failure_is_tried_again(tmp_path: Path) -> None:
    train = Training({"failure": "no memory"}, {"loss": 1.0})
    assert "failure" in once(tmp_path, [], train)
    assert once(tmp_path, [], train)["loss"] == 1.0


def test_a_result_with_other_flags_is_refused(tmp_path: Path) -> None:
    once(tmp_path, ["--x", "1"], Training({}))
    with pytest.raises(SystemExit, match="other flags"):
        once(tmp_path, ["--x", "2"], Training({}))


def test_a_training_that_did_not_end_is_no_result(tmp_path: Path) -> None:
    assert stored(tmp_path) is None
