"""A run gives its best checkpoint, or loudly its newest whole one; pruning removes neither; pointers are hints."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcli.checkpoint import durable, steps, store, temporary
from mtcli.errors import ModelError, ResourceError
from tests.checkpoint.examples import example


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with checkpoints at 90, 100 and 1000: in the order of numbers, not of letters."""
    for step in (90, 100, 1000):
        store.save(tmp_path / "run", example(step))
    return tmp_path / "run"


def damage(run: Path, step: int) -> None:
    with (steps.place(run, step) / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")


def test_the_best_is_found(run: Path) -> None:
    steps.point(run, "best", 100, {"bleu": 31.5})
    assert steps.find(run) == steps.place(run, 100)
    assert steps.pointed(run, "best") == 100
    assert steps.pointed(run, "latest") is None


def test_without_a_best_the_newest_is_found_silently(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert steps.find(run) == steps.place(run, 1000)
    assert steps.newest(run) == (steps.place(run, 1000), [])
    assert caplog.text == ""


def test_a_damaged_best_is_passed_over_loudly(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    steps.point(run, "best", 100)
    damage(run, 100)
    assert steps.find(run) == steps.place(run, 1000)
    assert "step-100 is damaged: the content of model.safetensors has changed" in caplog.text


def test_damaged_new_ones_are_passed_over_loudly(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    damage(run, 1000)
    (steps.place(run, 100) / "manifest.json").unlink()
    newest, reasons = steps.newest(run)
    assert newest == steps.place(run, 90)
    assert ["step-1000" in reasons[0], "step-100 " in reasons[1], len(reasons)] == [True, True, 2]
    assert steps.find(run) == newest
    assert len(caplog.records) == 2


def test_an_explicitly_named_damaged_step_is_an_error(run: Path) -> None:
    damage(run, 1000)
    with pytest.raises(ModelError, match=r"step-1000 is damaged"):
        steps.find(steps.place(run, 1000))


def test_a_run_without_any_whole_checkpoint_gives_every_reason(run: Path) -> None:
    for step in (90, 100, 1000):
        damage(run, step)
    with pytest.raises(ModelError, match=r"no checkpoint of .* is whole") as caught:
        steps.find(run)
    assert len(caught.value.details) == 3


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.pt").write_bytes(b"")
    for name, reason in {
        "empty": "has no checkpoint yet",
        "folder": "manifest.json is missing",
        "file.pt": "is a file, not a model",
        "nowhere": "there is no model",
        "x" * 5000: "there is no model",
        "nul\0": "there is no model",
        "../../../../../../../../nowhere": "there is no model",
    }.items():
        with pytest.raises(ModelError, match=reason):
            steps.find(tmp_path / name)


def test_other_names_are_no_steps(run: Path) -> None:
    for name in ("step-", "step-x", "step-007", "step--1", "step-٣", ".tmp-1-host-step-5", "step-5.old", "last"):
        (run / "checkpoints" / name).mkdir()
    assert steps.steps(run) == [90, 100, 1000]


junk = st.binary(max_size=20) | st.sampled_from([b"[]", b"null", b"[" * 100_000])
steps_of_junk = st.sampled_from(["1e3", "true", "-1", '"100"', "[1]", "77", "9" * 400, "9" * 5000])


@given(data=junk | steps_of_junk.map(lambda step: f'{{"step": {step}}}'.encode()))
def test_a_damaged_or_dangling_pointer_is_ignored(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    run = tmp_path_factory.getbasetemp() / "pointers"
    if not run.exists():
        store.save(run, example(100))
    (run / "best.json").write_bytes(data)
    logging.disable()
    assert steps.pointed(run, "best") is None
    assert steps.find(run) == steps.place(run, 100)
    logging.disable(logging.NOTSET)


def test_pruning_keeps_the_newest_and_the_best(run: Path) -> None:
    steps.point(run, "best", 90)
    assert steps.prune(run, keep=3) == []
    assert steps.prune(run, keep=1) == [steps.place(run, 100)]
    assert sorted(os.listdir(run / "checkpoints")) == ["step-1000", "step-90"]
    assert steps.find(run) == steps.place(run, 90)


def test_pruning_does_not_count_torn_checkpoints(run: Path) -> None:
    (steps.place(run, 1000) / "model.safetensors").write_bytes(b"")
    assert steps.prune(run, keep=1) == [steps.place(run, 90)]
    assert steps.newest(run)[0] == steps.place(run, 100)


def test_pruning_waits_while_the_best_is_unknown(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    (run / "best.json").write_bytes(b"{")
    assert steps.prune(run, keep=1) == []
    assert "no old checkpoint is removed" in caplog.text


def test_pruning_goes_on_when_the_best_was_deleted_by_hand(run: Path) -> None:
    steps.point(run, "best", 5)
    assert steps.prune(run, keep=2) == [steps.place(run, 90)]


def test_temporaries_of_the_living_stay(tmp_path: Path) -> None:
    here = temporary.machine()
    old = {f".tmp-{os.getpid()}-{here}-mine", f".tmp-99999999-{here}-dead", ".tmp-1-elsewhere-old"}
    new = {f".tmp-{os.getppid()}-{here}-alive", ".tmp-1-elsewhere-new", ".tmp-of-somebody"}
    for name in old | new:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"")
    before = time.time() - 2 * temporary.DAY
    os.utime(tmp_path / ".tmp-1-elsewhere-old", (before, before))
    durable.write_file(tmp_path / "file", b"data")
    assert set(os.listdir(tmp_path)) == {"file", *new}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ResourceError, match=r"cannot write .*best\.json: not a directory"):
        steps.point(tmp_path / "file", "best", 1)
    with pytest.raises(ResourceError, match="step-100"):
        store.save(tmp_path / "file", example())
