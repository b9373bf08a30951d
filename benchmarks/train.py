"""How fast does a small model train, beside the other toolkits?

    PEERS=DIR PEER_SCRIPTS=DIR python benchmarks/train.py [--shape small] [--rounds 2] [--steps 33] [--batches ...]

The model has one of the shapes in `shapes.py`, dropout and label smoothing 0.1, on Multi30k. Every competitor is a
process of its own; in each round each of them runs once, one after the other, so that a slow spell of the machine
hits all alike. PEER_SCRIPTS holds their recipes (`train.sh`, `hf_marian.py`), PEERS their environments and, in
`data/`, the corpus as pieces (`prepare.py` makes it). These recipes are for the shape small; for another, copies of
them with its sizes run. Without them mtcli runs alone, on pieces of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import measure
from measure import Figure, Report, Sample, child, figure
from peer_recipes import resized
from pieces import own_pieces
from shapes import SHAPES, Shape

SKIP, WINDOW = 8, 5
"""Steps thrown away at first, and steps in one window."""

Steps = list[dict[str, Any]]


@dataclass
class Competitor:
    """Something that trains: `run(steps)` does so in a process of its own and returns its step lines' file."""

    name: str
    batch: int
    version: str
    precision: str
    run: Callable[[int], Path]
    samples: list[Sample] = field(default_factory=list)
    last: Steps = field(default_factory=list)
    first_step: float = float("inf")
    """Seconds from the start of the process to the end of its first step, the shortest of all rounds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=33)
    parser.add_argument("--batches", type=int, nargs="+", default=[4096, 1024])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", help="names of the competitors to run")
    parser.add_argument("--peers", type=Path, help="environments of the other toolkits [default: $PEERS]")
    parser.add_argument("--peer-scripts", type=Path, help="their recipes [default: $PEER_SCRIPTS]")
    parser.add_argument("--corpora", type=Path, help="corpora, used without peers [default: $CORPORA]")
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    args = parser.parse_args()
    peers, scripts = measure.folder(args.peers, "PEERS"), measure.folder(args.peer_scripts, "PEER_SCRIPTS")
    with tempfile.TemporaryDirectory() as scratch:
        pieces = (
            peers / "data"
            if peers and (peers / "data" / "vocab.pieces").exists()
            else own_pieces(args.corpora, SHAPES[args.shape].pieces, Path(scratch))
        )
        shape = replace(SHAPES[args.shape], pieces=count(pieces))
        if scripts and args.shape != "small":
            scripts = resized(scripts, SHAPES["small"].sizes, shape.sizes, Path(scratch))
        field_of = list(competitors(args, pieces, peers, scripts, Path(scratch)))
        chosen = [each for each in field_of if not args.only or each.name.split(" ")[0] in args.only]
        peaks = dict.fromkeys([each.precision for each in chosen], 0.0)
        for number in range(args.rounds):
            for precision in peaks:
                peaks[precision] = max(peaks[precision], args.threads * measure.matmul_rate(precision))
            for competitor in chosen:
                compete(competitor, args.steps)
                print(f"round {number + 1}: {competitor.name} {competitor.batch}", summary(competitor), flush=True)
    folders = {"PEERS": peers, "PEER_SCRIPTS": args.peer_scripts, "CORPORA": args.corpora}
    rivals = [[each for each in chosen if each.batch == batch] for batch in args.batches]
    rows = [row for each in rivals for row in rows_of(each, shape, peaks)]
    path = Report(
        name="train" if args.shape == "small" else f"train-{args.shape}",
        title=f"Training throughput of the {args.shape} model",
        command=measure.command_line(folders),
        rows=rows,
        notes=notes(args, shape, peers),
        versions=measure.versions("torch", "sentencepiece"),
        raw={f"{each.name} {each.batch}": [vars(sample) for sample in each.samples] for each in chosen}
        | {f"matmul {precision}, FLOP/s of all threads": peak for precision, peak in peaks.items()},
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def count(pieces: Path) -> int:
    """The size of a vocabulary."""
    return len((pieces / "vocab.pieces").read_text(encoding="utf-8").rstrip("\n").split("\n"))


def competitors(
    args: argparse.Namespace, pieces: Path, peers: Path | None, scripts: Path | None, scratch: Path
) -> Iterator[Competitor]:
    """mtcli in each precision that pays here, and every toolkit that is installed, at each batch size."""
    own = measure.versions()["commit"]
    for batch in args.batches:
        for precision in measure.precisions():
            yield Competitor(
                f"mtcli {precision}", batch, own, precision, mtcli_run(args, pieces, scratch, batch, precision)
            )
        if not (peers and scripts):
            continue
        for peer in ("transformers", "fairseq", "eole", "sockeye", "joeynmt"):
            python = peers / peer / "bin" / "python"
            if python.exists():
                version = measure.foreign_version(python, peer)
                yield Competitor(peer, batch, version, "fp32", peer_run(args, peer, peers, scripts, batch))


def mtcli_run(
    args: argparse.Namespace, pieces: Path, scratch: Path, batch: int, precision: str
) -> Callable[[int], Path]:
    """mtcli's own loop."""

    def run(steps: int) -> Path:
        out = scratch / "steps.jsonl"
        script = Path(__file__).with_name("mtcli_steps.py")
        options = {"--pieces": pieces, "--out": out, "--steps": steps, "--max-tokens": batch}
        options |= {"--precision": precision, "--threads": args.threads, "--shape": args.shape}
        child([sys.executable, script, *(word for pair in options.items() for word in pair)], sleepy(args.threads))
        return out

    return run


def sleepy(threads: int) -> dict[str, str]:
    """The environment of mtcli's loop: the command line lets waiting threads sleep, and so does this."""
    from mtcli.cli.main import SPINS

    return {**threaded(threads), "GOMP_SPINCOUNT": SPINS}


def peer_run(args: argparse.Namespace, peer: str, peers: Path, scripts: Path, batch: int) -> Callable[[int], Path]:
    """Another toolkit's own training command, by the recipe in the scripts."""
    name, threads = f"bench-{peer}-{args.shape}-{batch}", args.threads
    out, data = peers / "runs" / name, peers / "data"

    def run(steps: int) -> Path:
        shutil.rmtree(out / "model", ignore_errors=True)  # or it would go on from there
        command: list[str | Path] = ["bash", scripts / "train.sh", peer, name, f"STEPS={steps}", f"BATCH={batch}"]
        rates = {"eole": ["LR=0.5", "WARMUP=400"], "sockeye": ["VALID=1000", "LR=0.001", "WARMUP=400"]}
        command += [*rates.get(peer, ["LR=0.001", "WARMUP=400"]), f"THREADS={threads}"]
        if peer == "transformers":
            command = [peers / peer / "bin" / "python", scripts / "hf_marian.py", "train", "--data", data]
            command += ["--out", out, "--updates", str(steps), "--batch", str(batch), "--threads", str(threads)]
        child(command, {**threaded(threads), "PEERS": peers, "DATA": data})
        return out / "steps.jsonl"

    return run


def threaded(threads: int) -> dict[str, str]:
    """The environment that keeps a process to so many threads."""
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def compete(competitor: Competitor, steps: int) -> None:
    """One run of one competitor, added to what is known of it."""
    started = time.perf_counter()  # counts from the start of the machine, in every process alike
    lines = competitor.run(steps).read_text(encoding="utf-8").rstrip("\n").split("\n")
    competitor.last = [json.loads(line) for line in lines]
    competitor.samples += windows(competitor.last)
    competitor.first_step = min(competitor.first_step, competitor.last[0]["t"] - started)


def windows(steps: Steps, skip: int = SKIP, size: int = WINDOW) -> list[Sample]:
    """Source and target tokens per second of consecutive windows after the first steps."""
    kept = steps[skip - 1 :]
    pairs = [(kept[i], kept[i + size]) for i in range(0, len(kept) - size, size)]
    return [window(first, last) for first, last in pairs]


def window(first: dict[str, Any], last: dict[str, Any]) -> Sample:
    """The rate between two steps, and how many cores other processes used."""
    gained = {key: last[key] - first[key] for key in ("t", "src", "tgt", "busy", "utime", "stime")}
    other = gained["busy"] - gained["utime"] - gained["stime"]
    return Sample((gained["src"] + gained["tgt"]) / gained["t"], other / gained["t"])


def summary(competitor: Competitor) -> str:
    """All samples so far, as one figure."""
    return str(figure(competitor.samples)) if competitor.samples else "too few steps for a window"


def rows_of(rivals: list[Competitor], shape: Shape, peaks: Mapping[str, float]) -> list[dict[str, Any]]:
    """One row for each competitor at one batch size, the fastest first."""
    measured = [(figure(each.samples), each) for each in rivals if each.samples]
    measured.sort(key=lambda pair: -pair[0].median)
    others = [found.median for found, each in measured if not each.name.startswith("mtcli")]
    best_other = max(others, default=0.0)
    return [row_of(found, each, best_other, shape, peaks[each.precision]) for found, each in measured]


def row_of(found: Figure, competitor: Competitor, best_other: float, shape: Shape, peak: float) -> dict[str, Any]:
    """What is known of one competitor; the ratio is to the fastest other toolkit, `peak` in operations per second."""
    last = competitor.last[-1]
    return {
        "competitor": f"{competitor.name} ({competitor.version})",
        "batch": competitor.batch,
        "tokens/s": found,
        "ratio": f"{found.median / best_other:.2f}" if best_other else "",
        "matmul peak": f"{found.median * shape.flops_per_token(last) / peak:.0%}",
        "quiet windows": f"{found.quiet}/{found.all}",
        "target tokens/update": f"{last['tgt'] / last['step']:.0f}",
        "not padding": f"{(last['src'] + last['tgt']) / last['padded']:.0%}",
        "peak MB": f"{last['maxrss_kb'] / 1024:.0f}",
        "first step after, s": f"{competitor.first_step:.1f}",
    }


def notes(args: argparse.Namespace, shape: Shape, peers: Path | None) -> list[str]:
    """How to read the table."""
    return [
        "tokens/s are source pieces without EOS plus target pieces with one EOS, never padding, over the whole loop",
        f"median (lowest-highest) of windows of {WINDOW} steps after the first {SKIP} of each run of {args.steps}, "
        f"{args.rounds} rounds in turn, {args.threads} threads; windows in which other processes used over "
        f"{measure.QUIET} cores do not count, unless fewer than 3 are left: then all do, and a ! says so",
        f"the shape {args.shape}: {shape.about}, {shape.pieces:,} pieces",
        "the ratio is to the fastest other toolkit at the same batch size",
        "matmul peak: the arithmetic that the model needs for these tokens, as a share of what large matrix products "
        "of the same precision (other toolkits: fp32) reached on as many threads, the best of all rounds",
        "mtcli runs `mtcli.training.loop.fit`, on the same pieces as the others"
        if peers
        else "pieces of mtcli's own tokenizer; the other toolkits are not installed here",
        "the first step counts from the start of the process, preparations included that a toolkit keeps for later",
    ]


if __name__ == "__main__":
    main()
