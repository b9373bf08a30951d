"""What the family's table is read from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from family import from_log, json_in, peak_mb, reason, shown
from measure import Child

RESULT: dict[str, Any] = {
    "parameters": 1_900_000,
    "steps": 1000,
    "tokens/s": 5432.1,
    "cores of others": 0.0,
    "peak MB": 700.4,
    "validation loss": 2.0,
    "scores": {"BLEU": {"value": 30.04, "interval": [29.0, 31.1]}},
}


def test_a_log_gives_the_median_speed_and_the_last_loss() -> None:
    events: list[dict[str, Any]] = [
        {"event": "steps", "step": step, "tokens_per_second": speed}
        for step, speed in ((5, 1.0), (10, 9.0), (15, 5.0))
    ]
    events.insert(2, {"event": "validation", "step": 10, "loss": 3.0})
    events.append({"event": "validation", "step": 15, "loss": 2.5})
    found = from_log("".join(json.dumps(event) + "\n" for event in events))
    assert found == {"steps": 15, "tokens/s": 5.0, "validation loss": 2.5}


@pytest.mark.parametrize("value", [{"a": [1]}, [{"a": 1}, {"b": {}}]])
def test_json_is_found_among_warnings(value: Any) -> None:
    assert json.loads(json_in(f"warning: [x] is {{y}}\n{json.dumps(value, indent=1)}\nGPU bytes 5\n")) == value
    with pytest.raises(RuntimeError, match="no JSON"):
        json_in("warning: nothing\n")


def test_a_gpu_s_memory_counts_where_there_is_one() -> None:
    assert peak_mb(Child(f"x\nGPU bytes {3 << 20}\n", 1.0, 500.0, 0.0)) == 3
    assert peak_mb(Child("x\n", 1.0, 500.0, 0.0)) == 500


def test_a_failure_is_told_by_its_sentence() -> None:
    assert reason("(6):\nstep 3\nerror: training diverged\n  try less\n") == "error: training diverged"
    assert reason("Traceback\n  File\nValueError: x\n") == "ValueError: x"
    assert shown({"failure": "x", "flags": []}) == {"parameters": "failed: x"}


def test_a_row_says_when_others_were_at_work() -> None:
    assert shown(RESULT)["tokens/s"] == "5,432"
    assert shown({**RESULT, "cores of others": 1.0})["tokens/s"] == "5,432!"
    assert (
        shown({**RESULT, "speed": [{"rate": float(rate), "other": 0.0} for rate in (300, 100, 200)]})["tokens/s"]
        == "200 (100-300)"
    )
    assert shown(RESULT)["validation perplexity"] == "7.39"
    assert shown(RESULT)["test BLEU"] == "30.0 (29.0-31.1)"
