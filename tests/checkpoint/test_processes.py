"""With real processes: one run per directory, and saves that survive kill -9 at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtcli.checkpoint import lock, steps, store
from mtcli.errors import BusyError, ResourceError
from tests.checkpoint.examples import example, same

HOLD = """
import sys, time, pathlib
from mtcli.checkpoint import lock
with lock.hold(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
SAVE = """
import sys, pathlib
from mtcli.checkpoint import steps, store
from tests.checkpoint.examples import example
run = pathlib.Path(sys.argv[1])
newest, _ = steps.newest(run)
step = int(newest.name.removeprefix("step-")) if newest else 0
print("started", flush=True)
while True:
    step += 1
    store.save(run, example(step))
    steps.point(run, "latest", step)
    steps.point(run, "best", step)
    steps.prune(run, keep=2)
    print(step, flush=True)
"""


@contextmanager
def child(code: str, run: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code` on `run`; it has said its first word."""
    command = [sys.executable, "-c", code, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_second_run_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with child(HOLD, run) as holder:
        with pytest.raises(BusyError) as caught, lock.hold(run):
            pass
        assert caught.value.exit_code == 7
        assert f"process {holder.pid} on {socket.gethostname()}" in caught.value.message
        (run / "lock.json").write_bytes(b"[1]")
        with pytest.raises(BusyError, match="a process that has not said"), lock.hold(run):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with lock.hold(run):
            assert json.loads((run / "lock.json").read_bytes())["pid"] == os.getpid()
    assert os.listdir(run) == [".lock"]


def test_a_process_excludes_itself_too(tmp_path: Path) -> None:
    with lock.hold(tmp_path), pytest.raises(BusyError, match=f"process {os.getpid()} "), lock.hold(tmp_path):
        pass
    with lock.hold(tmp_path):
        pass


def test_the_lock_is_released_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock.hold(tmp_path):
        raise ZeroDivisionError
    with lock.hold(tmp_path):
        pass


def test_a_directory_that_cannot_be_made_is_a_lack_of_resources(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ResourceError, match="file"), lock.hold(tmp_path / "file" / "run"):
        pass


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    reached = 0
    for seed in range(4):
        with child(SAVE, tmp_path) as saver:
            time.sleep(random.Random(seed).uniform(0, 0.3))
            saver.kill()
            said = saver.stdout.read().split() if saver.stdout else []
        path, _ = steps.newest(tmp_path)
        if path is None:
            assert not said
            continue
        step = int(path.name.removeprefix("step-"))
        assert step >= max([reached, *map(int, said)]), "a step that was reported saved is lost"
        assert same(store.load(path, resume=True), example(step))
        assert same(
            store.load(steps.find(tmp_path)),
            store.load(steps.place(tmp_path, steps.pointed(tmp_path, "best") or step)),
        )
        reached = step
    assert reached > 3
