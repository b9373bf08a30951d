"""`mtcli train --init-from RUN --lora-rank 8`, and every command that reads what it leaves."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Mtcli, TrainedRun, pairs
from tests.cli.test_usage import assert_refused

FLAGS = shlex.split(
    "-s en -t de --lr 3e-2 --warmup-steps 0 --max-steps 60 --validate-every 30 --save-every 30 --metric loss"
    " --label-smoothing 0 --dropout 0 --validation-lines 4 --max-output-ratio 1 --threads 1 --precision fp32"
    " --device cpu"
)
STYLE = (["A man is walking.", "A dog is sleeping."], ["ein mann ging", "ein hund schlief"])


@pytest.fixture
def adapting(trained: TrainedRun, tmp_path: Path) -> list[object]:
    """The command that adapts the model to a handful of sentences."""
    own = pairs(tmp_path / "own", "train", *(side * 4 for side in STYLE))
    return ["train", "--init-from", trained.path, "--lora-rank", 4, "--train", own, "--valid", own, *FLAGS]


def test_a_model_is_adapted_and_used(adapting: list[object], mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    run = tmp_path / "adapted"
    done = mtcli(*adapting, "-o", run)
    assert done.code == 0, done.err
    assert " parameters " in done.err
    assert " learn\n" in done.err
    texts = "".join(f"{line}\n" for line in STYLE[0]).encode()
    command = ["translate", "--device", "cpu", "--threads", 1, "-m"]
    assert mtcli(*command, run, stdin=texts).lines == STYLE[1]
    assert mtcli(*command, model, stdin=texts).lines != STYLE[1]
    facts = [json.loads(mtcli("info", "--json", each).out) for each in (run, model)]
    assert facts[0]["parameters"] == facts[1]["parameters"]
    sides = [tmp_path / "own" / f"train.{language}" for language in ("en", "de")]
    score = mtcli("eval", *sides, "-m", run, "--device", "cpu", "--threads", 1)
    assert "chrF2 100.00\n" in score.out, score.err
    assert mtcli("average", run, "--last", 2, "-o", tmp_path / "mean").code == 0
    assert mtcli(*command, tmp_path / "mean", stdin=texts).code == 0
    on = mtcli(*adapting, "--max-steps", 62, "-o", run)
    assert on.code == 0, on.err
    assert "going on from step 60" in on.err


def test_without_a_model_there_is_nothing_to_adapt(adapting: list[object], mtcli: Mtcli, tmp_path: Path) -> None:
    done = mtcli("train", *adapting[3:], "-o", tmp_path / "run")
    assert_refused(done, 2)
    assert "give it with --init-from" in done.err
