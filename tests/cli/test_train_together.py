"""`mtcli train` in two processes, by `torchrun` and by `--gpus 2`: one run, one log, one voice, one exit code."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mtcli.checkpoint import steps
from tests.cli.conftest import PROGRAM, TINY, environment

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mtcli"]
SECONDS = 120


def training(corpus: Path, *flags: str) -> list[str]:
    data = ["--train", str(corpus / "train"), "--valid", str(corpus / "valid")]
    return ["train", *data, *TINY, *shlex.split("--validate-every 10 --save-every 5 --accumulate 2"), *flags]


def started(command: Sequence[str], arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen([*command, *arguments], env=environment(), stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and everything that was said."""
    _, told = process.communicate(timeout=SECONDS)
    return process.returncode, told


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not (run / "latest.json").exists() or steps.steps(run)[-1] < step:
        assert process.poll() is None, ended(process)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(process: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        fields = status.read_text().rpartition(")")[2].split()
        if int(fields[1]) == process:
            found.append(int(status.parent.name))
    return sorted(found)


def test_interrupted_under_torchrun_and_finished_by_the_short_form(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started(TORCHRUN, training(corpus, "--max-steps", "100000", "-o", str(run)))
    wait_for_step(run, 10, process)
    process.send_signal(signal.SIGTERM)
    code, told = ended(process)
    assert code != 0
    stopped = steps.steps(run)[-1]
    assert told.count("training corpus:") == 1
    assert told.count(f"error: stopped at step {stopped:,}, everything is saved") == 1
    assert f"step {stopped + 1:,}" not in told
    last = stopped + 7
    code, told = ended(started(PROGRAM, training(corpus, "--gpus", "2", "--max-steps", str(last), "-o", str(run))))
    assert code == 0, told
    assert told.count(f"going on from step {stopped:,}\n") == 1
    assert told.count(f"finished: {last:,} steps (--max-steps)") == 1
    assert "warning" not in told
    assert steps.steps(run)[-1] == last
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    validated = [event["step"] for event in events if event["event"] == "validation"]
    assert validated == sorted({*range(10, last, 10), last})
    assert [name for name in os.listdir(run) if name.startswith((".probe", ".tmp", "lock"))] == []


@pytest.mark.slow
def test_a_killed_process_ends_the_training(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started(PROGRAM, training(corpus, "--gpus", "2", "--max-steps", "100000", "-o", str(run)))
    wait_for_step(run, 5, process)
    os.kill(children(process.pid)[1], signal.SIGKILL)
    code, told = ended(process)
    assert code == 5
    assert told.count("error: ") == 1
    # The launcher may notice before the other process does.
    assert re.search(r"error: (another process|process 1) of this training ended", told)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_short_form_passes_signals_on(number: signal.Signals, corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started(PROGRAM, training(corpus, "--gpus", "2", "--max-steps", "100000", "-o", str(run)))
    wait_for_step(run, 5, process)
    process.send_signal(number)
    code, told = ended(process)
    assert code == 128 + number
    assert told.count("stopping after this step and saving") == 1
    assert told.count("to go on: mtcli train") == 1


@pytest.mark.slow
def test_an_error_is_told_once_and_decides_the_exit_code(corpus: Path, tmp_path: Path) -> None:
    """One that the first process finds alone, and one that each of them finds."""
    for flags, expected in ((["--valid", str(tmp_path / "nothing")], 3), (["--device", "auto"], 2)):
        command = training(corpus, "--gpus", "2", *flags, "--max-steps", "1", "-o", str(tmp_path / "run"))
        code, told = ended(started(PROGRAM, command))
        assert code == expected, told
        assert told.count("error: ") == 1, told
