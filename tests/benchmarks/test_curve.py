"""The validation curve of a run, from its log."""

from __future__ import annotations

from typing import Any

import pytest
from curve import curve


def steps(step: int, seconds: float) -> dict[str, Any]:
    return {"event": "steps", "step": step, "epoch": 0, "loss": 2.0, "seconds": seconds, "tokens_per_second": 10.0}


def validation(step: int, bleu: float) -> dict[str, Any]:
    return {"event": "validation", "step": step, "loss": 1.0, "scores": {"BLEU": {"value": bleu}}}


def test_each_validation_is_a_row_with_the_clock_before_it() -> None:
    rows = curve([steps(50, 60), validation(50, 1.0), steps(100, 120), validation(100, 2.5)])
    assert [(row["step"], row["minutes"], row["BLEU"]) for row in rows] == [(50, "1.0", "1.00"), (100, "2.0", "2.50")]


@pytest.mark.parametrize("again", [75, 100])
def test_what_a_resumed_run_did_again_counts_once(again: int) -> None:
    rows = curve([validation(50, 1.0), validation(100, 2.0), validation(150, 3.0), validation(again, 4.0)])
    assert [row["BLEU"] for row in rows] == ["1.00", "4.00"]
