"""The command line in this process and in a process of its own, and one small model that every test may read."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from mtcli.cli.main import run

CHECKOUT = Path(__file__).resolve().parents[2]
SAMPLE = CHECKOUT / "data" / "sample"
FOREGROUND = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""A shell lets what it starts in the background ignore Ctrl-C, and these tests may run there."""

PROGRAM = [sys.executable, "-c", f"{FOREGROUND}; from mtcli.cli.main import main; main()"]

TINY = shlex.split(
    "-s en -t de --model-dim 32 --feed-forward-dim 64 --heads 2 --encoder-layers 1 --decoder-layers 1 --dropout 0"
    " --vocab-size 400 --max-tokens 512 --optimizer adamw --lr 1e-2 --warmup-steps 20"
    " --threads 1 --precision fp32 --device cpu --validation-lines 8 --samples 2 --max-output-ratio 1"
)
"""Settings of a model that is made in seconds."""


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of stdout, each of which has to be ended."""
        assert self.out == "" or self.out.endswith("\n")
        return self.out.split("\n")[:-1]


Mtcli = Callable[..., Done]


@pytest.fixture
def mtcli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mtcli:
    """Run a command line in this process, with bytes as stdin."""

    def command(*arguments: object, stdin: bytes = b"") -> Done:
        return in_process(tmp_path, monkeypatch, [str(argument) for argument in arguments], stdin)

    return command


def in_process(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], stdin: bytes) -> Done:
    given = folder / ".stdin"
    given.write_bytes(stdin)
    out, err = (TextIOWrapper(BytesIO(), "utf-8", newline="\n") for _ in range(2))
    with monkeypatch.context() as patch, given.open(encoding="utf-8") as file:
        for name, stream in (("stdin", file), ("stdout", out), ("stderr", err)):
            patch.setattr(sys, name, stream)
        code = run(arguments)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.detach().getvalue().decode("utf-8"))
    return Done(code, *texts)


def environment(**changes: str) -> dict[str, str]:
    """The variables of a process that runs this checkout's code and nobody's cache."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", **changes}


def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """Start the program, with pipes unless told otherwise."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, **{"env": environment(), **pipes, **options})  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Encoded corpora go to a directory that only these tests have."""
    directory = tmp_path_factory.mktemp("cache")
    before = os.environ.get("MTCLI_CACHE")
    os.environ["MTCLI_CACHE"] = str(directory)
    yield directory
    if before is None:
        del os.environ["MTCLI_CACHE"]
    else:
        os.environ["MTCLI_CACHE"] = before


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with train (200 pairs), valid and test (20 each), in English and German."""
    directory = tmp_path_factory.mktemp("corpus")
    for name, count in (("train", 200), ("valid", 20), ("test", 20)):
        for language in ("en", "de"):
            lines = (SAMPLE / f"{name}.{language}").read_text(encoding="utf-8").split("\n")[:count]
            write(directory / f"{name}.{language}", lines)
    return directory


@dataclass(frozen=True)
class TrainedRun:
    """A finished run: where it is, the command that made it, and what that said."""

    path: Path
    arguments: list[str]
    done: Done


@pytest.fixture(scope="session")
def trained(corpus: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """A run of 80 steps with three checkpoints; it translates badly, but not with empty lines."""
    folder = tmp_path_factory.mktemp("trained")
    data = ["--train", str(corpus / "train"), "--valid", str(corpus / "valid")]
    arguments = ["train", *data, *TINY, "-o", str(folder / "run")]
    arguments += shlex.split("--max-steps 80 --validate-every 40 --save-every 20 --keep 3 --metric loss")
    with pytest.MonkeyPatch.context() as patch:
        done = in_process(folder, patch, arguments, b"")
    assert done.code == 0, done.err
    return TrainedRun(folder / "run", arguments, done)


@pytest.fixture
def model(trained: TrainedRun) -> Path:
    """The directory of the run."""
    return trained.path


def write(path: Path, lines: list[str]) -> Path:
    """Write lines to a file, each with its end."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def pairs(directory: Path, name: str, sources: list[str], targets: list[str]) -> Path:
    """Write a corpus in two files; return its prefix."""
    directory.mkdir(parents=True, exist_ok=True)
    write(directory / f"{name}.en", sources)
    write(directory / f"{name}.de", targets)
    return directory / name
