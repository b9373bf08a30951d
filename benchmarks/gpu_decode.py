"""How fast does a GPU decode, with and without CUDA graphs, and how far is that from the limit? In under ten minutes.

    python benchmarks/gpu_decode.py -m RUN [RUN ...] --source FILE --out DIR [--budget 560] [--device cuda]

Each run decodes sentences of FILE in batches of 1, 32 and 1,024, with beam 5 and greedily, in bf16, fp32 and fp16: by
the step that processors use (`plain`), by that of buckets as it is (`buckets`), and recorded (`graphs`). The results
are written again after every part, so that nothing is lost when time runs out. With `--device cpu` nothing is
recorded: only to try this script.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import measure
import torch
from measure import Report

from mtcli.cli.model import Loaded, load
from mtcli.data.normalize import normalize
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.pace import evenly
from mtcli.decoding.searcher import Part, Searcher, width
from mtcli.kernels.graph import as_it_is, recorder
from mtcli.machine import matmul_rate, now, peak_memory, processor_name
from mtcli.model.flops import Cost
from mtcli.model.seq2seq import Seq2Seq
from mtcli.model.steady import Steady
from mtcli.model.unrolled import Unrolled

PRECISIONS = ("bf16", "fp32", "fp16")
SEARCHES: dict[str, dict[str, Any]] = {
    "beam 5": {"decoding": "beam", "beam_size": 5},
    "greedy": {"decoding": "greedy"},
}
BUCKETS = 2**34
"""Bytes that buckets may take."""
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}

Batches = list[list[Part]]


@dataclass
class Session:
    """What all measurements share, and the rows so far."""

    args: argparse.Namespace
    device: torch.device
    deadline: float
    bandwidth: float
    """Bytes per second."""
    rates: dict[str, float]
    """Operations per second of large products, by precision."""
    rows: list[dict[str, Any]] = field(default_factory=list)

    def left(self) -> float:
        """Seconds until the budget is spent."""
        return self.deadline - time.monotonic()

    def clock(self) -> float:
        """Seconds, when the device has done all that it was told."""
        return now(self.device)

    def keep(self, row: dict[str, Any]) -> None:
        """Add a row, and write all of them."""
        self.rows.append(row)
        print(" ".join(measure.cell(value) for value in row.values()), flush=True)
        peaks = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in self.rates.items())
        Report(
            name="gpu-decode",
            title=f"Decoding on {processor_name(self.device)}",
            command=measure.command_line({"SOURCE": self.args.source.parent}),
            rows=self.rows,
            notes=[
                f"bandwidth, by a large copy: {self.bandwidth / 1e9:,.0f} GB/s; large products, TFLOP/s: {peaks}",
                "tokens are those of the best translations, EOS counted; medians of laps after one that records",
                "ms/step: of the search; model ms/step: of it alone, waiting for the device before and after",
                "of the limit: the time in which matrices, memory and the shortest possible past can be read, or the"
                " products be computed, whatever takes longer, in that of the search, the encoder's included",
                "same: translations equal to those of the plain step, in percent",
            ],
            versions=measure.versions("torch"),
            raw=self.rows,
        ).write(self.args.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-m", "--model", type=Path, nargs="+", required=True)
    parser.add_argument("--source", type=Path, required=True, help="sentences, one per line")
    parser.add_argument("--out", type=Path, default=measure.RESULTS)
    parser.add_argument("--budget", type=float, default=560, help="seconds for everything")
    parser.add_argument("--seconds", type=float, default=1, help="for the laps of each row")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 1024], help="sentences")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    device = torch.device(args.device)
    clock = partial(now, device)
    rates = {name: matmul_rate(name, device, clock) for name in args.precisions}
    session = Session(args, device, time.monotonic() + args.budget, copy_rate(device), rates)
    lines = [text for line in args.source.read_text(encoding="utf-8").split("\n") if (text := normalize(line))]
    for precision, model, search in product(args.precisions, args.model, SEARCHES):
        if session.left() > 0:
            typed = SEARCHES[search] | {"device": args.device}
            loaded = load([model], typed, precision=precision)
            about = {"model": model.name, "precision": precision, "search": search}
            compare(session, about, loaded, lines)


def copy_rate(device: torch.device) -> float:
    """Bytes per second that a large copy reads and writes."""
    source = torch.zeros(2**30 if device.type == "cuda" else 2**24, dtype=torch.uint8, device=device)
    target, seconds = torch.empty_like(source), []
    for _ in range(10):
        started = now(device)
        target.copy_(source)
        seconds.append(now(device) - started)
    return 2 * source.nbytes / min(seconds)


def compare(session: Session, about: dict[str, Any], loaded: Loaded, lines: Sequence[str]) -> None:
    """Measure every batch size and every step of one model in one precision, by one search."""
    tokens = loaded.restored.tokenizer.encode_source(lines)
    parts = [Part(line, row) for line, row in zip(lines, tokens, strict=True)]
    for size in session.args.batches:
        plain: list[Hypothesis] | None = None
        work = batched(parts, size)
        for name, model in steps_of(loaded.restored.model, session.device):
            if session.left() < 0:
                return
            row, best = measured(session, loaded, model, work)
            plain = plain or best
            same = sum(ours.tokens == theirs.tokens for ours, theirs in zip(best, plain, strict=True))
            session.keep({**about, "batch": size, "step": name, **row, "same": 100 * same / len(best)})


def batched(parts: Sequence[Part], size: int) -> Batches:
    """About 64 sentences, or one batch, from everywhere among them; those of similar length together."""
    ordered = sorted(parts, key=lambda part: -len(part.tokens))
    chosen = [*evenly(range(len(ordered)), max(size, min(64, 16 * size)))]
    return [[ordered[place] for place in chosen[i : i + size]] for i in range(0, len(chosen), size)]


def steps_of(model: Seq2Seq[Any], device: torch.device) -> Iterator[tuple[str, Seq2Seq[Any]]]:
    """The same model with each kind of step; only as it is, if it cannot be unrolled."""
    decoder = model.decoder if isinstance(model, Steady) else model
    yield "plain", decoder
    if isinstance(decoder, Unrolled):
        yield "buckets", Steady(decoder, as_it_is, BUCKETS)
        if device.type == "cuda":
            yield "graphs", Steady(decoder, recorder(device), BUCKETS)


def measured(
    session: Session, loaded: Loaded, model: Seq2Seq[Any], work: Batches
) -> tuple[dict[str, Any], list[Hypothesis]]:
    """The figures of one step, and the best translations."""
    searcher = Searcher(model, loaded.decoding, session.device, None, 1)
    if session.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(session.device)
    first, best = lap(session, searcher, work)
    memory = peak_memory(session.device)
    laps: list[float] = []
    while len(laps) < 3 or sum(laps) < session.args.seconds:
        laps.append(lap(session, searcher, work)[0])
        if session.left() < 0:
            break
    seconds, tokens = statistics.median(laps), sum(len(each.tokens) + each.finished for each in best)
    watched = [(batch, watch(session, searcher, batch)) for batch in work]
    steps = [step for _, each in watched for step in each]
    limits = [shortest(session, loaded, batch, each) for batch, each in watched]
    return {
        "tokens/s": tokens / seconds,
        "sentences/s": len(best) / seconds,
        "ms/step": 1e3 * seconds / len(steps),
        "model ms/step": 1e3 * statistics.median(step.seconds for step in steps),
        "of the limit": sum(limits) / seconds,
        "first lap, s": first,
        "peak memory, GB": memory["all"] / 1e9 if memory else "",
        "laps": len(laps),
    }, best


def lap(session: Session, searcher: Searcher, work: Batches) -> tuple[float, list[Hypothesis]]:
    """Search for all batches once: the seconds, and the best translations."""
    started = session.clock()
    found = [each[0] for batch in work for each in searcher.search(batch)]
    return session.clock() - started, found


class Step(NamedTuple):
    """One step of a search."""

    rows: int
    seconds: float


def watch(session: Session, searcher: Searcher, batch: list[Part]) -> list[Step]:
    """The steps of the search for a batch, each between two waits for the device."""
    model, steps = searcher.model, []
    step = model.step

    def watched(tokens: torch.Tensor, state: Any) -> Any:
        started = session.clock()
        result = step(tokens, state)
        steps.append(Step(len(tokens), session.clock() - started))
        return result

    model.step = watched
    try:
        searcher.search(batch)
    finally:
        del model.step
    return steps


def shortest(session: Session, loaded: Loaded, batch: list[Part], steps: Sequence[Step]) -> float:
    """Seconds that reading, or else arithmetic, takes at least in the steps of a search.

    Read are all matrices that a target token meets, and for each sentence keys and values of its source and of one
    hypothesis: others may share all of its past.
    """
    settings, vocabulary = loaded.restored.recipe.model, loaded.restored.tokenizer.target_size
    cost, wide = Cost.of(settings, vocabulary), width(loaded.decoding)
    source = statistics.mean(len(part.tokens) + 1 for part in batch)
    size, seconds = BYTES[loaded.precision], 0.0
    for past, step in enumerate(steps, 1):
        seen = source + past
        numbers = cost.target / 2 + step.rows / wide * seen * cost.target_look / 2
        operations = step.rows * (cost.target + seen * cost.target_look)
        seconds += max(size * numbers / session.bandwidth, operations / session.rates[loaded.precision])
    return seconds


if __name__ == "__main__":
    main()
