"""How fast does a GPU train: each engine of mtcli beside the loops that one would write with PyTorch or transformers?

    python benchmarks/gpu_speed.py [--shapes iwslt base] [--budgets 4096 16384 32768] [--rounds 5] [--window 1]

All in one process and on the same generated sentences, a window of each in turn, so that a slow spell hits all
alike; in bf16 with fp32 weights, dropout and label smoothing 0.1, AdamW, gradients clipped. Tokens are source and
target tokens without padding, EOS counted, over whole steps, their batches included. Ten minutes for all of it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gpu_rivals
import measure
import torch
from measure import Report
from shapes import SHAPES, Shape

from mtcli.data.batches import Batches
from mtcli.data.encoded import Encoded
from mtcli.data.generated import generate
from mtcli.data.packing import Packing
from mtcli.layout import Batch
from mtcli.machine import matmul_rate, now
from mtcli.model.build import build
from mtcli.model.flops import training_flops
from mtcli.training.engine import engine_of
from mtcli.training.loop import groups, train_step
from mtcli.training.optimizer import adamw
from mtcli.training.precision import Precision
from mtcli.training.state import Progress, TrainState

LONGEST, PAIRS, WARM = 256, 100_000, 12
"""Tokens of a side at most; generated pairs; steps before the clock runs: shapes are met, kernels compiled."""
SHAPES_HERE = {
    **SHAPES,
    "base": Shape(
        "Vaswani et al. 2017: model_dim 512, 6+6 layers, feed-forward 2048, 8 heads",
        {"model_dim": 512, "feed_forward_dim": 2048, "encoder_layers": 6, "decoder_layers": 6, "heads": 8},
        32_000,
    ),
}
ENGINES = (("eager", "padded"), ("eager", "packed"), ("compiled", "packed"), ("graph", "packed"))

Step = Callable[[], Batch]
"""Takes a training step, and tells with which batch."""


@dataclass
class Competitor:
    """Something that trains, and what it did in its windows: tokens and operations per second."""

    name: str
    step: Step
    cold: float
    """Seconds of its first steps."""
    tokens: list[float] = field(default_factory=list)
    operations: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES_HERE), default=["iwslt", "base"])
    parser.add_argument("--budgets", nargs="+", type=int, default=[4096, 16_384, 32_768])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=float, default=1.0, help="seconds")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    args = parser.parse_args()
    device = torch.device(args.device)
    peak = matmul_rate("bf16", device, lambda: now(device))
    rows, raw = [], {"bf16 matmul, FLOP/s": peak}
    for name in args.shapes:
        shape = SHAPES_HERE[name]
        corpus = generate(PAIRS, shape.pieces, shape.pieces, LONGEST, 1)
        for budget in args.budgets:
            found = compete(shape, corpus, budget, device, args)
            rows += [row(name, budget, each, peak, found) for each in found]
            raw |= {f"{name} {budget} {each.name}": vars(each) | {"step": None} for each in found}
            path = report(args, rows, raw)  # again after each, so that nothing is lost when time runs out
    print(path.read_text(encoding="utf-8"))


def compete(
    shape: Shape, corpus: Encoded, budget: int, device: torch.device, args: argparse.Namespace
) -> list[Competitor]:
    """Windows of all competitors, in turn."""
    found = [warmed(name, step, device) for name, step in competitors(shape, corpus, budget, device)]
    for _ in range(args.rounds):
        for each in found:
            run(each, shape, device, args.window)
    return found


def competitors(shape: Shape, corpus: Encoded, budget: int, device: torch.device) -> Iterator[tuple[str, Step]]:
    """Every engine, and the loops of others."""
    for engine, layout in ENGINES:
        if engine == "eager" or device.type == "cuda":
            yield f"mtcli {engine}, {layout}", own(shape, corpus, budget, device, engine, layout)
    batches = iter(Batches(corpus, budget, 1).from_(Progress().place))
    model = shape.recipe().model
    yield "PyTorch's nn.Transformer", gpu_rivals.plain(model, shape.pieces, batches, device)
    if others():
        yield "transformers' Marian", gpu_rivals.marian(model, shape.pieces, batches, device)


def others() -> list[str]:
    """The toolkits that are installed here."""
    return [name for name in ("transformers",) if find_spec(name)]


def own(shape: Shape, corpus: Encoded, budget: int, device: torch.device, engine: str, layout: str) -> Step:
    """mtcli's own step."""
    recipe = shape.recipe(max_tokens=budget, precision="bf16")
    torch.manual_seed(1)
    model = build(recipe.model, shape.pieces, shape.pieces, joint=True).to(device)
    state = TrainState(model, adamw(model, recipe.training), Precision("bf16", device), Progress(), data="")
    form = Packing.of(corpus, budget, LONGEST + 1) if layout == "packed" else None
    stream, compute = (
        groups(Batches(corpus, budget, 1, form).from_(state.progress.place), 1),
        engine_of(state, engine),
    )

    def step() -> Batch:
        group = next(stream)
        train_step(state, group, recipe.training, compute)
        return group[0][0]

    return step


def warmed(name: str, step: Step, device: torch.device) -> Competitor:
    """A competitor that has taken its first steps."""
    started = now(device)
    for _ in range(WARM):
        step()
    return Competitor(name, step, now(device) - started)


def run(competitor: Competitor, shape: Shape, device: torch.device, seconds: float) -> None:
    """One window of steps."""
    done: list[Batch] = []
    started = now(device)
    while time.perf_counter() - started < seconds:
        done.append(competitor.step())
    passed = now(device) - started
    sides = [(each.source_rows.lengths.tolist(), each.target_rows.lengths.tolist()) for each in done]
    model = shape.recipe().model
    competitor.tokens.append(sum(sum(source) + sum(target) for source, target in sides) / passed)
    competitor.operations.append(sum(training_flops(model, shape.pieces, *side) for side in sides) / passed)


def row(name: str, budget: int, competitor: Competitor, peak: float, field_of: list[Competitor]) -> dict[str, Any]:
    """A line of the table; beside the best of those that are not mtcli."""
    rate = statistics.median(competitor.tokens)
    best = max(statistics.median(each.tokens) for each in field_of if not each.name.startswith("mtcli"))
    return {
        "shape": name,
        "tokens in a batch": f"{budget:,}",
        "who": competitor.name,
        "tokens/s": f"{rate:,.0f} ({min(competitor.tokens):,.0f}-{max(competitor.tokens):,.0f})",
        "MFU": f"{statistics.median(competitor.operations) / peak:.1%}",
        "beside the best other": f"{rate / best:.2f}",
        "first steps, s": f"{competitor.cold:.1f}",
    }


def report(args: argparse.Namespace, rows: list[dict[str, Any]], raw: dict[str, Any]) -> Path:
    """Write the results so far."""
    return Report(
        name="gpu-speed",
        title="Training throughput on a GPU",
        command=measure.command_line({}),
        rows=rows,
        notes=[
            *(f"{name}: {SHAPES_HERE[name].about}, {SHAPES_HERE[name].pieces:,} pieces" for name in args.shapes),
            "tokens/s: of source and target, without padding, EOS counted; the median of the windows, and the range",
            "MFU: the operations that the model needs, without padding, beside those of a large bf16 product",
            f"first steps: {WARM}, compiling and recording included",
        ],
        versions={"gpu": device_name(args.device), **measure.versions("torch", *others())},
        raw=raw,
    ).write(args.results)


def device_name(device: str) -> str:
    """What is computed on."""
    from mtcli.machine import processor_name

    return processor_name(torch.device(device))


if __name__ == "__main__":
    main()
