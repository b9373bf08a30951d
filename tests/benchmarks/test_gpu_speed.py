"""The script that compares engines on a GPU runs without one, and its rivals learn."""

from __future__ import annotations

import json
import sys
from itertools import repeat
from pathlib import Path

import gpu_rivals
import gpu_speed
import pytest
import torch
from torch.nn import functional as F

from mtcli.layout import PAD
from tests.laws import models


def test_it_measures_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = f"x --device cpu --shapes small --budgets 300 --rounds 1 --window 0.01 --results {tmp_path}"
    monkeypatch.setattr(sys, "argv", words.split())
    monkeypatch.setattr(gpu_speed, "WARM", 1)
    monkeypatch.setattr(gpu_speed, "PAIRS", 500)
    monkeypatch.setitem(gpu_speed.SHAPES_HERE, "small", gpu_speed.Shape("tiny", {"model_dim": 16, "heads": 2}, 50))
    gpu_speed.main()
    (written,) = tmp_path.glob("gpu-speed-*.json")
    rows = json.loads(written.read_text(encoding="utf-8"))["rows"]
    named = [row["who"] for row in rows]
    assert named[:3] == ["mtcli eager, padded", "mtcli eager, packed", "PyTorch's nn.Transformer"]


def test_the_plain_loop_learns_a_batch_by_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its speed would say nothing."""
    monkeypatch.setattr(gpu_rivals, "DROPOUT", 0.0)
    monkeypatch.setattr(gpu_rivals, "SMOOTHING", 0.0)
    torch.manual_seed(1)
    settings, batch = models.settings(model_dim=32, heads=2), models.batch(1, [4, 7, 2], [3, 5, 6])
    kept: list[gpu_rivals.Plain] = []
    make = gpu_rivals.Plain
    monkeypatch.setattr(gpu_rivals, "Plain", lambda *given: kept.append(make(*given)) or kept[0])
    step = gpu_rivals.plain(settings, models.VOCABULARY, repeat((batch, None)), torch.device("cpu"))

    def loss() -> float:
        with torch.no_grad():
            logits = kept[0](batch.source, batch.target_in)
        return F.cross_entropy(logits.flatten(0, 1), batch.target_out.flatten(), ignore_index=PAD).item()

    before = loss()
    for _ in range(300):
        step()
    assert loss() < before - 0.5
