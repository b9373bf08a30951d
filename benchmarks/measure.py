"""What every benchmark shares: this machine, who else uses it, quiet windows, child processes and written results.

Imports the standard library only: the decoders of other toolkits load it with their own interpreters.
"""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
QUIET = 0.1
"""Cores that other processes may use while something is measured; beyond this the measurement is not quiet."""


@dataclass(frozen=True)
class Sample:
    """One measurement: how much was done per second, and how many cores other processes used meanwhile."""

    rate: float
    other: float


@dataclass(frozen=True)
class Figure:
    """The median, the lowest and the highest of the samples that count, and how many of all those were quiet."""

    median: float
    low: float
    high: float
    quiet: int
    all: int
    disturbed: bool
    """Whether too few samples were quiet, so that all of them count."""

    def __str__(self) -> str:
        return f"{number(self.median)}{'!' if self.disturbed else ''} ({number(self.low)}-{number(self.high)})"


def figure(samples: Sequence[Sample], enough: int = 3) -> Figure:
    """The figure that the quiet samples give; all samples, if fewer than `enough` are quiet."""
    quiet = [sample for sample in samples if sample.other < QUIET]
    disturbed = len(quiet) < min(enough, len(samples))
    rates = [sample.rate for sample in (samples if disturbed else quiet)]
    return Figure(statistics.median(rates), min(rates), max(rates), len(quiet), len(samples), disturbed)


def number(value: float) -> str:
    """Three digits, or whole from a hundred on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine_seconds() -> float:
    """Processor seconds that all processes of this machine have used or lost to its host; Linux only."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor seconds of this process and of its worker processes; Linux only."""
    total = time.process_time()
    for worker in multiprocessing.active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return total


class Stopwatch:
    """Measures a stretch of this process' work: wall seconds, and how many cores others used meanwhile."""

    def __enter__(self) -> Stopwatch:
        self.begun = (time.perf_counter(), machine_seconds(), own_seconds())
        return self

    def __exit__(self, *exception: object) -> None:
        wall, machine, own = self.begun
        self.seconds = time.perf_counter() - wall
        self.processor = own_seconds() - own
        self.other = (machine_seconds() - machine - self.processor) / self.seconds

    def sample(self, done: float) -> Sample:
        """`done` things per second."""
        return Sample(done / self.seconds, self.other)


@dataclass(frozen=True)
class Child:
    """What a child process did: its output, wall seconds, peak memory, and the cores that others used meanwhile."""

    output: str
    seconds: float
    peak_mb: float
    other: float


def child(
    command: Sequence[str | Path], environment: Mapping[str, str | Path] | None = None, stdin: str = ""
) -> Child:
    """Run a command to its end; `RuntimeError` with the end of its messages if it fails."""
    env = {**os.environ, **{key: str(value) for key, value in (environment or {}).items()}}
    machine, started = machine_seconds(), time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(stdin)
    process.stdin.close()
    output = process.stdout.read()
    process.stdout.close()
    _, status, used = os.wait4(process.pid, 0)  # unlike getrusage, tells the peak memory of this child alone
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{shlex.join(process.args)} failed ({process.returncode}):\n{output[-2000:]}")  # type: ignore[arg-type]
    other = (machine_seconds() - machine - used.ru_utime - used.ru_stime) / seconds
    return Child(output, seconds, used.ru_maxrss / 1024, other)


def folder(given: Path | None, variable: str) -> Path | None:
    """The folder typed, or the one that an environment variable names, if there is either."""
    named = os.environ.get(variable)
    return given or (Path(named) if named else None)


def corpora(given: Path | None) -> Path | None:
    """The folder of real corpora: typed, in $CORPORA, or beside the checkout; None if there is none."""
    beside = ROOT.parent / "shared" / "corpora"
    return folder(given, "CORPORA") or (beside if beside.is_dir() else None)


def machine() -> dict[str, str]:
    """What this computer is."""
    models = [line for line in Path("/proc/cpuinfo").read_text().split("\n") if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.processor()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": platform.system(),
    }


def versions(*packages: str) -> dict[str, str]:
    """Versions of this interpreter, of packages in it, and of this checkout."""
    found = {package: metadata.version(package) for package in packages}
    return {"commit": commit(ROOT), "python": platform.python_version(), **found}


def commit(checkout: Path) -> str:
    """The commit that a checkout is at; $COMMIT says it of a copy without a history."""
    if not (checkout / ".git").exists() and "COMMIT" in os.environ:
        return os.environ["COMMIT"]
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def foreign_version(python: Path, package: str) -> str:
    """The version of a package in another interpreter's environment."""
    asked = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([str(python), "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def precisions() -> list[str]:
    """fp32, and the one that `auto` chooses here; asked in a child, because the trial must precede other work."""
    program = "from torch import device; from mtcli.device import fastest; print(fastest(device('cpu')))"
    return list(dict.fromkeys(["fp32", child([sys.executable, "-c", program]).output.strip()]))


def matmul_rate(precision: str) -> float:
    """Operations per second of large products on one thread, in a process of their own."""
    program = (
        "import sys, time; from torch import device; from mtcli.device import choose_precision;"
        "from mtcli.machine import matmul_rate; cpu = device('cpu'); precision = choose_precision(sys.argv[1], cpu);"
        "print(matmul_rate(precision, cpu, time.perf_counter))"
    )
    return float(child([sys.executable, "-c", program, precision]).output)


def command_line(folders: Mapping[str, Path | None]) -> str:
    """How this script was called, with the folders of this machine replaced by names such as `$PEERS`."""
    known = sorted(((str(path), name) for name, path in folders.items() if path), key=lambda pair: -len(pair[0]))
    return " ".join(
        ["python", f"benchmarks/{Path(sys.argv[0]).name}", *(anonymous(word, known) for word in sys.argv[1:])]
    )


def anonymous(word: str, known: Sequence[tuple[str, str]]) -> str:
    """A word of a command without this machine's folders."""
    for path, name in known:
        if word == path or word.startswith(f"{path}/"):
            return f"${name}{word[len(path) :]}"
    return f".../{Path(word).name}" if Path(word).is_absolute() else shlex.quote(word)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; its columns are the keys of the rows, in order of appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns), *([cell(row.get(column, "")) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(value: Any) -> str:
    """One value of a table."""
    return number(value) if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Report:
    """One result to keep: a table, what it means, and everything needed to repeat it."""

    name: str
    title: str
    command: str
    rows: Sequence[Mapping[str, Any]]
    notes: Iterable[str]
    versions: Mapping[str, str]
    raw: Any
    """The measurements behind the rows, as JSON."""

    def write(self, directory: Path | None = None) -> Path:
        """Write NAME-DATE.md and NAME-DATE.json, and return the first; the same day's older ones are replaced."""
        home = directory or RESULTS
        home.mkdir(parents=True, exist_ok=True)
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        facts = {"date": date, **machine(), **self.versions}
        head = [
            f"# {self.title}",
            "",
            f"`{self.command}`",
            "",
            *(f"- {key}: {value}" for key, value in facts.items()),
        ]
        text = [*head, "", table(self.rows), "", *(f"- {note}" for note in self.notes), ""]
        path = home / f"{self.name}-{date}.md"
        path.write_text("\n".join(text), encoding="utf-8")
        rows = [
            {key: str(value) if isinstance(value, Figure) else value for key, value in row.items()}
            for row in self.rows
        ]
        content = {"title": self.title, "command": self.command, "facts": facts, "rows": rows, "raw": self.raw}
        path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path
