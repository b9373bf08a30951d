"""The script for decoding on a GPU runs without one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gpu_decode
import pytest

from tests.training import tiny


def test_it_measures_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTCLI_CACHE", str(tmp_path / "cache"))
    tiny.write_corpora(tmp_path)
    tiny.run(tiny.wishes(tmp_path, max_steps=5), tmp_path / "run")
    words = f"x -m {tmp_path / 'run'} --source {tmp_path / 'valid.en'} --out {tmp_path} --device cpu --seconds 0.01"
    monkeypatch.setattr(sys, "argv", [*words.split(), "--batches", "3", "--precisions", "fp32"])
    gpu_decode.main()
    (written,) = tmp_path.glob("gpu-decode-*.json")
    rows = json.loads(written.read_text(encoding="utf-8"))["rows"]
    named = [(row["search"], row["step"]) for row in rows]
    assert named == [(search, step) for search in ("beam 5", "greedy") for step in ("plain", "buckets")]
    for row in rows:
        assert row["same"] == 100
        assert all(row[name] > 0 for name in ("tokens/s", "ms/step", "model ms/step", "of the limit"))
