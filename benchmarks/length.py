"""How do time and memory of one attention layer grow with the length?

    python benchmarks/length.py [--longest 32768] [--causal] [--device cuda] [--only full longformer]

Every mechanism of the catalogue, forward and backward, batch 1, from 128 tokens on, doubled each time; every point is
a process of its own. A mechanism stops before a point that would, growing as it last grew, pass the limits of time or
memory. Beside the table, two plots are written as SVG.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
from measure import Report, child
from plot import log_log

from mtcli import catalog

SHORTEST = 128
UNFUSED = "full, unfused"
"""Full attention as it is written in the paper: the matrix of weights is stored."""

SETTINGS = {
    "longformer": {"window": 32},
    "block-local": {"block_size": 64},
    "linformer": {"rank": 64},
    "performer": {"features": 64},
}
"""What each mechanism spends on a token, the same at every length."""

THEORY = {
    "full": ("2", "1"),
    UNFUSED: ("2", "2"),
    "sparse": ("1.5", "1.5"),
    "block-local": ("1", "1"),
    "longformer": ("1", "1"),
    "linformer": ("1", "1"),
    "linear": ("1", "1"),
    "performer": ("1", "1"),
}
"""Exponents of time and memory by the papers; full attention's memory is that of PyTorch's fused kernels, which store
no matrix (Dao et al. 2022), and sparse attention's are those of a stride of the square root of the length."""


@dataclass(frozen=True)
class Point:
    """Medians at one length: seconds forward and backward, and the memory that was added at the peak."""

    length: int
    forward: float
    backward: float
    peak_mb: float
    raw: dict[str, Any]

    @property
    def seconds(self) -> float:
        """Both ways."""
        return self.forward + self.backward


def main() -> None:
    args = arguments()
    kinds = [UNFUSED, *catalog.ATTENTION]
    found: dict[str, list[Point]] = {}
    ends: dict[str, str] = {}
    for kind in args.only or kinds:
        if args.causal and not catalog.load("attention", mechanism_of(kind)).supports_causal:
            ends[kind] = "cannot be causal"
            continue
        found[kind], ends[kind] = grown(kind, args)
    rows = [row_of(kind, points) for kind, points in found.items()]
    report = Report(
        name="length" + ("-causal" if args.causal else "") + ("-cuda" if args.device != "cpu" else ""),
        title="Time and memory of one attention layer, by length",
        command=measure.command_line({}),
        rows=rows,
        notes=notes(args, ends),
        versions={**measure.versions("torch"), "device": device_name(args.device)},
        raw={kind: [vars(point) for point in points] for kind, points in found.items()},
    )
    path = report.write(args.results)
    plots(path, found)
    print(path.read_text(encoding="utf-8"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--longest", type=int, default=32768)
    parser.add_argument("--model-dim", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit-seconds", type=float, default=20.0, help="longest pass, both ways")
    parser.add_argument("--limit-gb", type=float, default=4.0, help="most memory that a pass may add")
    parser.add_argument("--causal", action="store_true", help="as in a decoder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=[UNFUSED, *catalog.ATTENTION], metavar="NAME")
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    return parser.parse_args()


def mechanism_of(kind: str) -> str:
    """The name in the catalogue."""
    return "full" if kind == UNFUSED else kind


def settings_of(kind: str, length: int, model_dim: int, heads: int) -> dict[str, Any]:
    """The settings of a layer for a length."""
    own: dict[str, Any] = dict(SETTINGS.get(kind, {}))
    if kind == "sparse":
        own["stride"] = 2 ** round(math.log2(length) / 2)  # Child et al. 2019, 4.2: close to the square root
    if kind == "linformer":
        own["max_positions"] = length
    return {"model_dim": model_dim, "heads": heads, **own}


def grown(kind: str, args: argparse.Namespace) -> tuple[list[Point], str]:
    """The points of a mechanism, and why there are no more."""
    points: list[Point] = []
    length = SHORTEST
    while length <= args.longest:
        if reason := beyond(points, args.limit_seconds, args.limit_gb * 1024):
            return points, f"{length:,} tokens would take about {reason}"
        try:
            points.append(measured(kind, length, args))
        except RuntimeError as error:
            return points, f"{length:,} tokens failed: {str(error).rstrip().splitlines()[-1]}"
        last = points[-1]
        print(kind, f"{length:,}", f"{last.seconds:.4g} s", f"{last.peak_mb:.4g} MB", flush=True)
        length *= 2
    return points, ""


def beyond(points: Sequence[Point], seconds: float, peak_mb: float) -> str | None:
    """What the next length, twice the last, would take, if that is more than allowed; it grows as it last did."""
    if len(points) < 2:
        return None
    before, last = points[-2:]
    time, memory = (
        now * max(1.0, now / max(then, 1e-9))
        for then, now in ((before.seconds, last.seconds), (before.peak_mb, last.peak_mb))
    )
    if time > seconds:
        return f"{time:.0f} s"
    # What is small is mostly noise, and its growth too.
    return f"{memory / 1024:.1f} GB" if memory > peak_mb and last.peak_mb > peak_mb / 64 else None


def measured(kind: str, length: int, args: argparse.Namespace) -> Point:
    """One point, in a process of its own."""
    settings = settings_of(kind, length, args.model_dim, args.heads)
    words: list[str | Path] = [sys.executable, Path(__file__).with_name("length_one.py")]
    words += ["--mechanism", mechanism_of(kind), "--length", str(length), "--settings", json.dumps(settings)]
    words += ["--repeats", str(args.repeats), "--seconds", str(args.limit_seconds), "--device", args.device]
    words += ["--threads", str(args.threads), *["--causal"] * args.causal, *["--unfused"] * (kind == UNFUSED)]
    done = child(words, {"OMP_NUM_THREADS": args.threads})  # type: ignore[dict-item]
    raw = json.loads(done.output.rstrip().splitlines()[-1])
    middle = (statistics.median(raw[way]) for way in ("forward", "backward"))
    return Point(length, *middle, raw["peak_mb"], {**raw, "settings": settings, "other": done.other})


def exponent(curve: Sequence[tuple[float, float]]) -> float:
    """The slope of a straight line through the upper half of the points in logarithms, by least squares."""
    upper = sorted(curve)[len(curve) // 2 :] if len(curve) > 2 else curve
    xs, ys = [math.log(x) for x, _ in upper], [math.log(y) for _, y in upper]
    return statistics.linear_regression(xs, ys).slope


def row_of(kind: str, points: Sequence[Point]) -> dict[str, Any]:
    """A mechanism's exponents, and its figures at a few lengths."""
    time, memory = THEORY.get(kind, ("", ""))
    timed = [(point.length, point.seconds) for point in points]
    stored = [(point.length, max(point.peak_mb, 1e-3)) for point in points]
    row: dict[str, Any] = {"mechanism": kind}
    row |= {"time grows with n to the": fit(timed), "in theory": time}
    row |= {"memory grows with n to the": fit(stored), "and in theory": memory}
    for point in points[3::2]:
        row[f"{point.length:,}: ms"] = point.seconds * 1000
        row[f"{point.length:,}: MB"] = point.peak_mb
    return row


def fit(curve: Sequence[tuple[float, float]]) -> str:
    """The exponent in two digits; empty where a line cannot be laid."""
    return f"{exponent(curve):.2f}" if len(curve) > 1 else ""


def plots(path: Path, found: dict[str, list[Point]]) -> None:
    """The two plots, beside the result."""
    for what, unit in (("seconds", "s"), ("peak_mb", "MB")):
        lines = {
            kind: {float(p.length): max(getattr(p, what), 1e-3 if unit == "MB" else 1e-7) for p in points}
            for kind, points in found.items()
        }
        title = {"s": "Forward and backward pass of one attention layer", "MB": "Memory that the pass adds"}[unit]
        picture = path.with_name(plot_name(path.stem, what))
        picture.write_text(log_log(title, "tokens", unit, lines), encoding="utf-8")


def plot_name(stem: str, what: str) -> str:
    """The file of a plot."""
    return f"{stem}-{'time' if what == 'seconds' else 'memory'}.svg"


def notes(args: argparse.Namespace, ends: dict[str, str]) -> list[str]:
    """How to read the table."""
    spent = "; ".join(f"{kind}: {json.dumps(settings)}" for kind, settings in SETTINGS.items())
    return [
        f"one MultiHeadAttention of model_dim {args.model_dim} with {args.heads} heads, without positions, batch 1, "
        f"fp32, {'causal' if args.causal else 'every token may see every other'}, {args.threads} thread(s): forward "
        f"and backward pass, projections included; median of up to {args.repeats} passes, each length in a process "
        "of its own",
        "memory is what the first pass adds at its peak to the process with layer and input in place",
        "exponents: least squares on logarithms over the upper half of the lengths; in theory: as the papers count, "
        "with full attention's memory that of PyTorch's fused kernels, which store no n x n matrix",
        f"settings that stay the same at every length: {spent}; sparse: a stride near the square root of the length",
        f"a mechanism stops before a point of more than {args.limit_seconds:g} s or {args.limit_gb:g} GB",
        *(f"{kind}: {reason}" for kind, reason in ends.items() if reason),
    ]


def device_name(device: str) -> str:
    """What was measured on."""
    if device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name(torch.device(device))


if __name__ == "__main__":
    main()
