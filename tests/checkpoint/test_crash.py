"""Whatever happens at whatever file operation of a save, a run has a whole checkpoint: the old or the new one."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mtcli.checkpoint import steps, store
from mtcli.errors import ResourceError
from tests.checkpoint.disk import FALLIBLE, Death, Disk
from tests.checkpoint.examples import example, same

OLD, NEW, LATER = example(100), example(200), example(300)
WRITING = frozenset({"open", "write", "fsync", "mkdir", "rename", "replace"})

Scenario = Callable[[Path], None]
Whole = dict[int, dict[str, bytes]]


def first(run: Path) -> None:
    """Nothing there yet, not even the run's directory."""


def second(run: Path) -> None:
    """One checkpoint there, which the pointers name."""
    store.save(run, OLD)
    steps.point(run, "best", 100)
    steps.point(run, "latest", 100)


def repaired(run: Path) -> None:
    """A damaged checkpoint of the step that is to be saved again."""
    second(run)
    (store.save(run, NEW) / "model.safetensors").write_bytes(b"")


SCENARIOS = pytest.mark.parametrize("scenario", [first, second, repaired])


def save_all(run: Path, done: list[str]) -> None:
    """What training does at a checkpoint, noting what it may rely on."""
    store.save(run, NEW)
    done.append("saved")
    steps.point(run, "latest", 200)
    done.append("latest")
    steps.point(run, "best", 200)
    done.append("best")
    steps.prune(run, keep=1)
    done.append("pruned")


def prepared(folder: Path, scenario: Scenario) -> Path:
    """A folder with a run in the state of a scenario, to be copied."""
    (folder / "before").mkdir()
    scenario(folder / "before" / "run")
    return folder / "before"


def operations(root: Path, before: Path) -> list[str]:
    """The names of all file operations of `save_all`."""
    shutil.copytree(before, root)
    with Disk(root) as disk:
        save_all(root / "run", [])
    shutil.rmtree(root)
    return disk.calls


def check(run: Path, scenario: Scenario, done: list[str], whole: Whole) -> None:
    """The run has the new checkpoint if its save returned, else the old or the new one; and training can go on."""
    path, _ = steps.newest(run)
    if path is None:
        assert scenario is first
        assert "saved" not in done
    else:
        assert contents(path) in ([whole[200]] if "saved" in done else [whole[100], whole[200]])
        assert contents(steps.find(run)) in ([whole[200]] if "best" in done else [whole[100], whole[200]])
    assert "best" not in done or steps.pointed(run, "best") == 200
    assert contents(store.save(run, LATER)) == whole[300]
    steps.point(run, "latest", 300)
    assert list(run.rglob(".tmp-*")) == [], "the next save removes what is left over"


def contents(directory: Path) -> dict[str, bytes]:
    """All files of a directory; equal bytes are equal checkpoints, and need not be parsed again at each crash."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """What the directories of the checkpoints hold that were saved without trouble, by step."""
    run = tmp_path_factory.mktemp("whole")
    saved = {each.step: (store.save(run, each), each) for each in (OLD, NEW, LATER)}
    assert all(same(store.load(path, resume=True), each) for path, each in saved.values())
    return {step: contents(path) for step, (path, _) in saved.items()}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the real disk: `Disk` keeps the account of what is synced."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@SCENARIOS
def test_the_sweeps_cover_what_a_save_does(tmp_path: Path, scenario: Scenario) -> None:
    done = operations(tmp_path / "root", prepared(tmp_path, scenario))
    assert set(done) == (FALLIBLE - {"unlink", "rmdir"} if scenario is first else FALLIBLE)
    assert len(done) > 50


@SCENARIOS
def test_killed_or_power_lost_at_every_operation(tmp_path: Path, scenario: Scenario, whole: Whole) -> None:
    root, before = tmp_path / "root", prepared(tmp_path, scenario)
    for at in range(len(operations(root, before)) + 1):
        shutil.copytree(before, root)
        done: list[str] = []
        with Disk(root, at, Death(), FALLIBLE) as disk:
            with suppress(Death):
                save_all(root / "run", done)
            disk.after_power_loss(tmp_path / "synced")
            disk.after_data_loss(tmp_path / "empty", kept=0)
            disk.after_data_loss(tmp_path / "torn", kept=0.5)
        assert at == len(disk.calls) or len(done) < 4, "the process died"
        for left in (root, tmp_path / "synced", tmp_path / "empty", tmp_path / "torn"):
            check(left / "run", scenario, done, whole)
            shutil.rmtree(left)


def test_interrupted_at_every_operation(tmp_path: Path, whole: Whole) -> None:
    root, before = tmp_path / "root", prepared(tmp_path, repaired)
    for at in range(len(operations(root, before))):
        shutil.copytree(before, root)
        done: list[str] = []
        with Disk(root, at, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
            save_all(root / "run", done)
        check(root / "run", repaired, done, whole)
        shutil.rmtree(root)


@SCENARIOS
@pytest.mark.parametrize(
    "code",
    [errno.ENOSPC, *(pytest.param(code, marks=pytest.mark.slow) for code in (errno.EDQUOT, errno.EROFS, errno.EIO))],
)
def test_a_disk_that_stops_taking_writes(tmp_path: Path, scenario: Scenario, code: int, whole: Whole) -> None:
    root, before = tmp_path / "root", prepared(tmp_path, scenario)
    for at, name in enumerate(operations(root, before)):
        if name not in WRITING:
            continue
        shutil.copytree(before, root)
        done: list[str] = []
        failure = OSError(code, os.strerror(code))
        with Disk(root, at, failure, WRITING), pytest.raises(ResourceError) as caught:
            save_all(root / "run", done)
        assert str(root) in caught.value.message
        left = {path.name for path in root.rglob(".tmp-*")}
        assert all("-old-" in name for name in left), "what was being written is removed at once"
        check(root / "run", scenario, done, whole)
        shutil.rmtree(root)


def test_a_full_disk_is_reported_in_numbers(tmp_path: Path) -> None:
    second(tmp_path / "run")
    with Disk(tmp_path, 5, OSError(errno.ENOSPC, "x"), WRITING), pytest.raises(ResourceError) as caught:
        store.save(tmp_path / "run", NEW)
    assert caught.value.exit_code == 5
    needed = store.size(NEW) / 1e6
    assert f"step-200 needs {needed:,.1f} MB" in caught.value.message
    assert "MB are free" in caught.value.message


def test_one_input_output_error_is_survived(tmp_path: Path, whole: Whole) -> None:
    root, before = tmp_path / "root", prepared(tmp_path, repaired)
    for at in range(len(operations(root, before))):
        shutil.copytree(before, root)
        done: list[str] = []
        with Disk(root, at, OSError(errno.EIO, "Input/output error")):
            save_all(root / "run", done)
        check(root / "run", repaired, done, whole)
        shutil.rmtree(root)
