"""What only a process of its own can show: pipes, signals, locales, locks and exit codes."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtcli.checkpoint import manifest, steps
from tests.cli.conftest import TINY, Mtcli, TrainedRun, environment, start

PATIENCE = 240.0
"""Seconds; a busy machine may need them."""


@contextmanager
def running(*arguments: object, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone at the end, whatever happens."""
    process = start(*arguments, **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)


@pytest.mark.parametrize("format", ["text", pytest.param("jsonl", marks=pytest.mark.slow)])
def test_a_reader_that_goes_away_is_no_error(format: str, model: Path, tmp_path: Path) -> None:
    """However much there still is to read, and whatever else is written."""
    many = subprocess.Popen(["yes", "This coat is new."], stdout=subprocess.PIPE)
    flags = ["--greedy", "--format", format, "--alignments", tmp_path / "links"]
    with running("translate", "-m", model, *flags, stdin=many.stdout) as process:
        assert many.stdout
        many.stdout.close()
        assert process.stdout
        assert process.stdout.readline().endswith(b"\n")
        process.stdout.close()
        process.stdout = None
        _, told = process.communicate(timeout=PATIENCE)
        assert (process.returncode, told) == (141, b"")
    assert many.wait(timeout=PATIENCE) == -signal.SIGPIPE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["--version", "--help", "eval -i CORPUS/test.de CORPUS/test.de"])
def test_a_full_disk_behind_stdout_is_said(command: str, corpus: Path) -> None:
    arguments = command.replace("CORPUS", str(corpus)).split()
    with open("/dev/full", "wb") as full, running(*arguments, stdout=full) as process:
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 5
    assert told == b"error: stdout: No space left on device\n"


def test_a_closed_stdout_is_said_and_a_closed_stderr_is_not_replaced_by_it(corpus: Path) -> None:
    program = "import sys; from mtcli.cli.main import main; main()"
    command = shlex.join([sys.executable, "-c", program])
    closed = subprocess.run(
        f"{command} --version >&-", shell=True, capture_output=True, env=environment(), check=False
    )
    assert closed.returncode == 5
    assert b"error: stdout is closed" in closed.stderr
    quiet = subprocess.run(
        f"{command} nonsense 2>&-", shell=True, capture_output=True, env=environment(), check=False
    )
    assert (quiet.returncode, quiet.stdout) == (2, b"")


@pytest.mark.parametrize("format", ["jsonl", *(pytest.param(f, marks=pytest.mark.slow) for f in ("text", "tsv"))])
def test_a_slow_pipe_is_answered_line_by_line_in_utf8_whatever_the_locale(
    format: str, mtcli: Mtcli, model: Path, tmp_path: Path
) -> None:
    lines = ["Grüße \U0001f600", "", "last, without an end"]
    flags = ["translate", "-m", model, "--greedy", "--format", format, "--alignments"]
    expected = mtcli(*flags, tmp_path / "expected", stdin="\n".join(lines).encode())
    aligned = (tmp_path / "expected").read_text(encoding="utf-8").split("\n")
    variables = environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    with running(*flags, tmp_path / "links", env=variables) as process:
        assert process.stdin
        assert process.stdout
        for count, line in enumerate(lines[:2], 1):
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            assert without_decimals(process.stdout.readline()) == without_decimals(expected.lines[count - 1])
            assert (tmp_path / "links").read_text(encoding="utf-8").split("\n") == [*aligned[:count], ""]
        answer, told = process.communicate(lines[2].encode(), timeout=PATIENCE)
        assert without_decimals(answer) == without_decimals(expected.lines[2])
        assert (process.returncode, told.decode("utf-8")) == (0, expected.err)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="another OpenMP than GNU's")
@pytest.mark.parametrize(
    ("told", "spins"),
    [({}, 10_000), ({"OMP_WAIT_POLICY": "ACTIVE"}, 30_000_000_000), ({"GOMP_SPINCOUNT": "77"}, 77)],
)
def test_threads_that_wait_soon_sleep_unless_told_otherwise(told: dict[str, str], spins: int, model: Path) -> None:
    unset = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    variables = {name: value for name, value in environment().items() if name not in unset}
    variables |= {"OMP_DISPLAY_ENV": "VERBOSE", **told}
    with running("translate", "-m", model, stdin=subprocess.DEVNULL, env=variables) as process:
        _, said = process.communicate(timeout=PATIENCE)
    assert {int(count) for count in re.findall(rb"GOMP_SPINCOUNT = '(\d+)'", said)} == {spins}


def without_decimals(line: str | bytes) -> str:
    """A line that is printed, without what rounding errors of other batches change."""
    text = line.decode("utf-8") if isinstance(line, bytes) else f"{line}\n"
    return re.sub(r"\.\d+", ".", text)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are forked")
@pytest.mark.parametrize("end", ["ctrl-c", "reader"])
def test_workers_end_with_the_program(end: str, model: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("This coat is new, and that one is old.\n" * 20_000, encoding="utf-8")
    with running("translate", "-m", model, "--workers", 2, "--batch-tokens", 512, lines) as process:
        assert process.stdout
        process.stdout.readline()
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        assert len(workers) == 2
        if end == "ctrl-c":
            process.send_signal(signal.SIGINT)
        else:
            process.stdout.close()
            process.stdout = None
        _, told = process.communicate(timeout=PATIENCE)
        assert (process.returncode, told) == (130 if end == "ctrl-c" else 141, b"")
    deadline = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker is left"
        time.sleep(0.01)


def test_ctrl_c_while_waiting_for_input_is_silent(model: Path) -> None:
    with running("translate", "-m", model) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"This coat is new.\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=PATIENCE)
        assert process.returncode == 130
        assert process.stderr
        assert process.stderr.read() == b""


HOLDER = """
import sys
from pathlib import Path
from mtcli.checkpoint import lock
with lock.hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_in_a_directory_names_the_first(mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    arguments = ["train", "--train", corpus / "train", "--valid", corpus / "valid", *TINY, "-o", tmp_path / "run"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "run"], env=environment(), **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == b"held\n"
        done = mtcli(*arguments)
        holder.stdin.close()
    assert (done.code, done.out) == (7, "")
    assert f"process {holder.pid} on {socket.gethostname()}" in done.err
    assert mtcli(*arguments, "--max-steps", 1).code == 0


def endless(corpus: Path, output: Path, *flags: str) -> list[str]:
    """A run that somebody has to stop."""
    data = ["--train", str(corpus / "train"), "--valid", str(corpus / "valid")]
    return ["train", *data, *TINY, "-o", str(output), "--max-steps", "1000000", "--patience", "0", *flags]


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_a_signal_saves_and_the_printed_command_goes_on(
    name: str, mtcli: Mtcli, corpus: Path, tmp_path: Path
) -> None:
    run = tmp_path / "a run"
    arguments = endless(corpus, run, "--save-every", "1000000", "--validate-every", "10")
    with running(*arguments, stdin=subprocess.DEVNULL) as process:
        wait_for((run / "log.jsonl").exists, process)
        number = getattr(signal, name)
        process.send_signal(number)
        out, told = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (128 + number, b"")
    err = told.decode("utf-8")
    assert "stopping after this step and saving" in err
    stopped = re.search(r"error: stopped at step ([\d,]+), everything is saved\n  to go on: (.*)\n", err)
    assert stopped
    step = int(stopped[1].replace(",", ""))
    assert steps.newest(run) == (steps.place(run, step), [])
    again = shlex.split(stopped[2])
    assert again == ["mtcli", *arguments]
    done = mtcli(*again[1:], "--max-steps", step + 2)
    assert done.code == 0, done.err
    assert f"going on from step {step:,}" in done.err
    assert f"finished: {step + 2:,} steps" in done.err


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once_and_leaves_the_old_checkpoint_whole(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for language in ("en", "de"):  # a validation that takes long enough to be interrupted
        text = (corpus / f"train.{language}").read_text(encoding="utf-8")
        (tmp_path / f"long.{language}").write_text(text * 50, encoding="utf-8")
    arguments = endless(corpus, run, "--save-every", "1", "--validate-every", "3", "--max-output-ratio", "20")
    arguments += ["--validation-lines", "0"]
    arguments[arguments.index(str(corpus / "valid"))] = str(tmp_path / "long")
    with running(*arguments, stdin=subprocess.DEVNULL) as process:
        wait_for((run / "checkpoints" / "step-2").is_dir, process)
        process.send_signal(signal.SIGINT)
        assert process.stderr
        while b"stopping after this step" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert b"stopped at once; the checkpoints written before are whole" in told
    assert b"Traceback" not in told
    manifest.verify(run / "checkpoints" / "step-2")
    assert steps.steps(run) == [1, 2]


def test_a_terminal_gets_a_hint(model: Path) -> None:
    master, slave = pty.openpty()
    os.write(master, b"This coat is new.\n\x04")  # Ctrl-D
    with running("tokenizer", "encode", "-m", model, stdin=slave) as process:
        os.close(slave)
        answer, told = process.communicate(timeout=PATIENCE)
    os.close(master)
    assert told == b"reading from the terminal; end with Ctrl-D\n"
    assert answer.count(b"\n") == 1


@pytest.mark.slow
def test_training_outlives_whoever_watched_it(corpus: Path, tmp_path: Path) -> None:
    arguments = [*endless(corpus, tmp_path / "run"), "--max-steps", "30", "--validate-every", "10"]
    with running(*arguments, stdin=subprocess.DEVNULL) as process:
        assert process.stderr
        process.stderr.readline()
        process.stderr.close()
        assert process.wait(timeout=PATIENCE) == 0
        process.stderr = None
    assert steps.newest(tmp_path / "run") == (steps.place(tmp_path / "run", 30), [])


@pytest.mark.slow
def test_a_terminal_sees_a_live_line_and_text_as_it_is(corpus: Path, tmp_path: Path) -> None:
    for language in ("en", "de"):
        (tmp_path / f"valid.{language}").write_text("[/b] [red]coat :smile:\n" * 4, encoding="utf-8")
    master, slave = pty.openpty()
    arguments = [*endless(corpus, tmp_path / "run"), "--max-steps", "30", "--validate-every", "10"]
    arguments[arguments.index(str(corpus / "valid"))] = str(tmp_path / "valid")
    variables = environment(TERM="xterm", COLUMNS="200")
    with running(*arguments, stdin=subprocess.DEVNULL, stderr=slave, env=variables) as process:
        os.close(slave)
        shown = b"".join(until_closed(master))
        assert process.wait(timeout=PATIENCE) == 0
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode("utf-8")
    assert "tokens/s" in text
    assert "source [/b] [red]coat :smile:" in text
    assert "finished: 30 steps" in text


def until_closed(terminal: int) -> Iterator[bytes]:
    """What is written to a terminal until nobody has it open any more."""
    while select.select([terminal], [], [], PATIENCE)[0]:
        try:
            yield os.read(terminal, 65536)
        except OSError:  # Linux says EIO at the end
            return


def test_the_trained_run_is_untouched_by_all_this(trained: TrainedRun) -> None:
    for step in steps.steps(trained.path):
        manifest.verify(steps.place(trained.path, step))
