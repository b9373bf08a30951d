"""How long does a command take that has almost nothing to do: help, and one sentence?

    PEERS=DIR python benchmarks/startup.py [-m RUN] [--repeat 10] [--repeat-sentence 5]

Every command is a new process; its first start is thrown away, because it may compile bytecode. Beside mtcli stand
bare interpreters, and the help of the other toolkits where they are installed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
from measure import Child, Report, Sample, child, figure

SENTENCE = "A man is riding a bicycle through the park."


@dataclass(frozen=True)
class Command:
    """What to start, how often, and what to give it."""

    name: str
    words: list[str | Path]
    repeat: int
    stdin: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-m", "--model", type=Path, default=measure.ROOT / "runs" / "demo", help="a run of mtcli")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--repeat-sentence", type=int, default=5)
    parser.add_argument("--peers", type=Path, help="environments of the other toolkits [default: $PEERS]")
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    args = parser.parse_args()
    peers = measure.folder(args.peers, "PEERS")
    rows, raw = [], {}
    for command in [*own(args), *foreign(peers, args.repeat)]:
        starts = started(command)
        rows.append(row_of(command, starts))
        raw[command.name] = [{"seconds": start.seconds, "other": start.other} for start in starts]
        print(command.name, rows[-1]["seconds"], flush=True)
    path = Report(
        name="startup",
        title="Cold starts",
        command=measure.command_line({"PEERS": peers, "RUN": args.model}),
        rows=rows,
        notes=[
            "median (lowest-highest) of new processes, with files in the system's cache, the first start left out; "
            f"starts in which other processes used over {measure.QUIET} cores do not count, unless fewer than 3 are "
            "left: then all do, and a ! says so",
        ],
        versions=measure.versions("torch", "typer"),
        raw=raw,
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def own(args: argparse.Namespace) -> Iterator[Command]:
    """mtcli's commands, and what Python and torch alone take."""
    python = Path(sys.executable)
    mtcli: list[str | Path] = [python, "-c", "from mtcli.cli.main import main; main()"]
    yield Command("python -c pass", [python, "-c", "pass"], args.repeat)
    yield Command("python -c 'import torch'", [python, "-c", "import torch"], args.repeat_sentence)
    yield Command("mtcli --help", [*mtcli, "--help"], args.repeat)
    yield Command("mtcli train --help", [*mtcli, "train", "--help"], args.repeat)
    if args.model.exists():
        for name, flags in (("beam 5", []), ("greedy", ["--greedy"])):
            words = [*mtcli, "translate", "-m", args.model, "--threads", "2", *flags]
            yield Command(f"mtcli translate, one sentence, {name}", words, args.repeat_sentence, f"{SENTENCE}\n")


def foreign(peers: Path | None, repeat: int) -> Iterator[Command]:
    """The help of each toolkit that is installed."""
    helps: dict[str, list[str]] = {
        "eole": ["eole", "--help"],
        "eole train": ["eole", "train", "--help"],
        "fairseq-train": ["fairseq-train", "--help"],
        "sockeye.train": ["python", "-m", "sockeye.train", "--help"],
        "joeynmt": ["python", "-m", "joeynmt", "--help"],
        "transformers": ["transformers", "--help"],
    }
    for name, (program, *rest) in helps.items():
        toolkit = name.split(" ")[0].split("-")[0].split(".")[0]
        if peers and (path := peers / toolkit / "bin" / program).exists():
            yield Command(f"{name} --help", [path, *rest], min(repeat, 5))


def started(command: Command) -> list[Child]:
    """Every start but the first."""
    environment = {"OMP_NUM_THREADS": "2"}
    return [child(command.words, environment, command.stdin) for _ in range(command.repeat + 1)][1:]


def row_of(command: Command, starts: list[Child]) -> dict[str, Any]:
    """The median time and the highest memory."""
    return {
        "command": command.name,
        "seconds": figure([Sample(start.seconds, start.other) for start in starts]),
        "peak MB": f"{max(start.peak_mb for start in starts):.0f}",
    }


if __name__ == "__main__":
    main()
