"""Throughput from the times of steps."""

from __future__ import annotations

from typing import Any

from train import SKIP, WINDOW, windows


def clock(count: int, seconds: float, others: float) -> list[dict[str, Any]]:
    """Steps of 30 source and 20 target tokens, each using 1.5 cores, beside others that use `others` cores."""
    return [
        {"t": i * seconds, "src": 30 * i, "tgt": 20 * i, "utime": i * seconds, "stime": i * seconds / 2}
        | {"busy": i * seconds * (1.5 + others)}
        for i in range(1, count + 1)
    ]


def test_windows_tell_rate_and_what_others_used() -> None:
    found = windows(clock(SKIP + 3 * WINDOW, 0.5, 0.25))
    assert len(found) == 3
    assert all(abs(sample.rate - 100) < 1e-9 and abs(sample.other - 0.25) < 1e-9 for sample in found)


def test_the_first_steps_do_not_count() -> None:
    steps = clock(SKIP + WINDOW, 0.5, 0)
    for step in steps[: SKIP - 1]:
        step["src"] = 0
    assert [round(sample.rate) for sample in windows(steps)] == [100]
    assert windows(steps[: SKIP + WINDOW - 1]) == []
