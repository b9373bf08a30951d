"""What a speedrun reads from its run, and what it says of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from speedrun import CACHES, apart, cold, from_log, row, summary

EVENTS: list[dict[str, Any]] = [
    {"event": "steps", "step": 50, "epoch": 0, "seconds": 10.0},
    {"event": "validation", "step": 60, "seconds": 1.5, "loss": 3.0, "scores": {"BLEU": {"value": 12.0}}},
    {"event": "rollback", "step": 70},
    {"event": "steps", "step": 100, "epoch": 1, "seconds": 20.0},
    {"event": "validation", "step": 100, "seconds": 2.0, "loss": 2.0, "scores": {"BLEU": {"value": 11.0}}},
]


def result(seed: int, bleu: float) -> dict[str, Any]:
    test = {"value": bleu, "signature": "the signature"}
    return {"seed": seed, "seconds": 25.0, **from_log(EVENTS), "test": test, "cores of others": 0.0}


def test_the_clock_is_that_of_the_command_and_its_parts_are_told() -> None:
    shown = row(result(1, 41.2), 41.0)
    assert (shown["seconds"], shown["start and end"], shown["validating"]) == ("25.0", "5.0", "3.5")
    assert (shown["steps"], shown["best validation BLEU"], shown["test BLEU"]) == ("100", "12.00", "41.20")
    assert row({**result(1, 41.2), "cores of others": 1.0}, 41.0)["seconds"] == "25.0!"


@pytest.mark.parametrize(("bleu", "expected"), [(41.0, "yes"), (40.99, "no"), (50.0, "yes")])
def test_a_target_is_reached_or_not(bleu: float, expected: str) -> None:
    assert row(result(1, bleu), 41.0)["41 reached"] == expected


def test_a_failure_counts_as_not_reached() -> None:
    failed = {"seed": 3, "failure": "loading\nerror: training diverged"}
    assert row(failed, 41.0) == {"seed": 3, "seconds": "failed: error: training diverged"}
    found = summary([result(1, 42.0), result(2, 40.0), failed], 41.0)
    assert found == "1 of 3 reached 41 BLEU; on average 25.0 s and 41.00 BLEU; the signature"
    assert summary([failed], 41.0) == "0 of 1 reached 41 BLEU"


def test_a_cold_start_finds_no_cache(tmp_path: Path) -> None:
    environment = cold(tmp_path)
    assert all(not Path(environment[name]).exists() for name in CACHES)
    assert Path(environment["PYTHONPATH"].split(os.pathsep)[0], "mtcli").is_dir()


def test_words_after_two_dashes_go_to_the_training() -> None:
    assert apart(["recipe.toml", "--seeds", "1", "--", "--lr", "1e-3"]) == (
        ["recipe.toml", "--seeds", "1"],
        ["--lr", "1e-3"],
    )
    assert apart(["recipe.toml"]) == (["recipe.toml"], [])
