"""`mtcli info`, `mtcli average`, and what every command says of damaged models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mtcli.checkpoint import durable, manifest
from tests.cli.conftest import Mtcli, TrainedRun
from tests.cli.test_usage import assert_refused


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be damaged."""
    return Path(shutil.copytree(model, tmp_path / "copy"))


def vanish(file: Path) -> None:
    file.unlink()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [vanish, truncate, flip])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.model", "recipe.toml", "manifest.json"])
def test_a_damaged_checkpoint_is_refused_or_passed_over_loudly(
    damage: Callable[[Path], None],
    name: str,
    mtcli: Mtcli,
    copy: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    best = json.loads((copy / "best.json").read_text(encoding="utf-8"))["step"]
    checkpoint = copy / "checkpoints" / f"step-{best}"
    damage(checkpoint / name)
    explicit = mtcli("translate", "-m", checkpoint, stdin=b"Hello\n")
    assert_refused(explicit, 4)
    assert str(checkpoint) in explicit.err
    run = mtcli("translate", "-m", copy, stdin=b"Hello\n")
    assert run.code == 0, run.err
    assert len(run.lines) == 1
    assert str(checkpoint) in caplog.text


def test_a_run_goes_on_from_the_step_before_a_damaged_one(trained: TrainedRun, mtcli: Mtcli, copy: Path) -> None:
    flip(copy / "checkpoints" / "step-80" / "training.safetensors")
    done = mtcli(*trained.arguments, "-o", copy)
    assert done.code == 0, done.err
    assert "step-80 is damaged" in done.err
    assert "going on from step 60" in done.err
    weights = Path("checkpoints") / "step-80" / "model.safetensors"
    assert (copy / weights).read_bytes() == (trained.path / weights).read_bytes()


def test_no_whole_checkpoint(mtcli: Mtcli, copy: Path) -> None:
    for file in copy.glob("checkpoints/*/model.safetensors"):
        truncate(file)
    for command in ("translate", "info"):
        done = mtcli(command, *(["-m"] if command == "translate" else []), copy)
        assert_refused(done, 4)
        assert "no checkpoint" in done.err


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty directory"])
def test_no_model(what: str, mtcli: Mtcli, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    if what == "a file":
        path.write_bytes(b"\x80\x02cos\nsystem\n")
    elif what == "an empty directory":
        path.mkdir()
    for command in (["translate", "-m"], ["info"], ["score", "a", "b", "-m"], ["tokenizer", "encode", "-m"]):
        if command[0] != "score":  # it reads its files first
            done = mtcli(*command, path)
            assert_refused(done, 4)
            assert str(path) in done.err


def test_the_tokenizer_of_another_model(mtcli: Mtcli, copy: Path, corpus: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    flags = ["-s", "en", "-t", "de", "--vocab-size", 350]
    assert mtcli("tokenizer", "train", corpus / "train", *flags, "-o", small).code == 0
    for checkpoint in (copy / "checkpoints").iterdir():
        shutil.copy(small / "tokenizer.model", checkpoint / "tokenizer.model")
        (checkpoint / "manifest.json").unlink()
        (checkpoint / "manifest.json").write_bytes(manifest.describe(checkpoint))
    done = mtcli("translate", "-m", copy, stdin=b"Hello\n")
    assert_refused(done, 4)
    assert "do not fit its recipe and tokenizer" in done.err


def test_info_says_what_a_model_is(mtcli: Mtcli, model: Path) -> None:
    facts = json.loads(mtcli("info", model, "--json").out)
    assert facts["languages"] == "en -> de"
    assert facts["step"] in (40, 80)
    text = mtcli("info", model).out
    for fact in ("languages: en -> de", f"parameters: {facts['parameters']:,}", "model dim: 32", "tok:13a"):
        assert fact in text


def test_info_of_a_checkpoint_without_scores(mtcli: Mtcli, model: Path) -> None:
    done = mtcli("info", model / "checkpoints" / "step-60")
    assert done.code == 0
    assert "not validated at this step" in done.out


def test_the_average_of_one_model_is_the_model(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    checkpoint = model / "checkpoints" / "step-80"
    done = mtcli("average", checkpoint, checkpoint, checkpoint, "-o", tmp_path / "mean")
    assert done.code == 0, done.err
    assert done.out == ""
    assert f"next: mtcli eval -m {tmp_path / 'mean'}" in done.err
    weights = "model.safetensors"
    assert (tmp_path / "mean" / weights).read_bytes() == (checkpoint / weights).read_bytes()
    assert "not validated" in mtcli("info", tmp_path / "mean").out


def test_an_average_of_the_last_is_a_model_like_any_other(
    mtcli: Mtcli, model: Path, corpus: Path, tmp_path: Path
) -> None:
    last = mtcli("average", model, "--last", 2, "-o", tmp_path / "last")
    assert last.code == 0, last.err
    steps = [model / "checkpoints" / f"step-{step}" for step in (60, 80)]
    assert mtcli("average", *steps, "-o", tmp_path / "both").code == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("last", "both")]
    assert weights[0] == weights[1]
    assert weights[0] != (steps[1] / "model.safetensors").read_bytes()
    done = mtcli("eval", "-m", tmp_path / "last", corpus / "test.en", corpus / "test.de", "--decoding", "greedy")
    assert done.code == 0, done.err


def test_an_average_of_the_best(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    """Of the three checkpoints kept, two were validated; the run's best is one of them."""
    for count, chosen in ((1, [model]), (2, [model / "checkpoints" / f"step-{step}" for step in (40, 80)])):
        best, same = tmp_path / f"best-{count}", tmp_path / f"same-{count}"
        done = mtcli("average", model, "--best", count, "-o", best)
        assert done.code == 0, done.err
        assert mtcli("average", *chosen, *chosen, "-o", same).code == 0
        assert (best / "model.safetensors").read_bytes() == (same / "model.safetensors").read_bytes()
    assert_refused(mtcli("average", model, "--best", 3, "-o", tmp_path / "three"), 4)


@pytest.mark.parametrize("flags", [["--best", 1, "--last", 1], ["again", "--best", 1], ["again", "--last", 1]])
def test_a_choice_that_is_none(flags: list[object], mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    flags = [model if each == "again" else each for each in flags]
    assert_refused(mtcli("average", model, *flags, "-o", tmp_path / "mean"), 2)


def test_runs_can_be_averaged_by_their_best(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    done = mtcli("average", model, model, "-o", tmp_path / "mean")
    assert done.code == 0, done.err


def test_too_few_checkpoints_and_a_place_that_is_taken(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    assert_refused(mtcli("average", model, "--last", 9, "-o", tmp_path / "mean"), 4)
    durable.make_directory(tmp_path / "taken" / "something")
    assert_refused(mtcli("average", model, "--last", 2, "-o", tmp_path / "taken"), 2)
