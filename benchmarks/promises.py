"""Does a trained model keep what decoding promises, on real sentences?

    python benchmarks/promises.py --model RUN --source FILE --target FILE [--lines 1000] [--precision fp32]

Three promises: translations do not depend on the batch, the order of the lines or the process; they have what was
required and nothing that was forbidden; and the log-probability reported with each is that which scoring it gives.
What breaks a promise is in the results, line by line.
"""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path
from typing import Any

import measure
from measure import Report
from promise_constraints import constraints, controlled
from promise_independence import FIRST, OTHERS, independence
from promise_subject import Promise, Subject

TOLERANCE = 1e-3
"""How far apart two log-probabilities of one translation are rounding: ten times what fp32 shows."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a run of mtcli")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True, help="references, from which constraints are drawn")
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--precision", default="fp32", help="fp32, bf16 or int8")
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    args = parser.parse_args()
    subject = Subject(args.model, args.precision, args.source, args.target, args.lines)
    promises = []
    for promise in chain(independence(subject, controlled(subject)), constraints(subject)):
        print(f"{promise.name}: {len(promise.broken)} of {promise.lines}, {promise.seconds:.0f} s", flush=True)
        promises.append(promise)
    promises.append(scores(promises))
    path = Report(
        name="promises" if args.precision == "fp32" else f"promises-{args.precision}",
        title=f"Promises of decoding in {args.precision}, on {len(subject.sources):,} sentences",
        command=measure.command_line(
            {"RUN": args.model, "SOURCE": args.source, "TARGET": args.target, "RESULTS": args.results}
        ),
        rows=[row_of(promise) for promise in promises],
        notes=notes(),
        versions=measure.versions("torch", "sentencepiece"),
        raw=[vars(promise) for promise in promises],
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def scores(promises: list[Promise]) -> Promise:
    """The promise of the scores, of the best translations of all others."""
    off = [difference for promise in promises for difference in promise.off]
    broken: list[dict[str, Any]] = [
        {"promise": promise.name, "off": difference}
        for promise in promises
        for difference in promise.off
        if difference > TOLERANCE
    ]
    return Promise("log-probability as scored", len(off), 0.0, broken, off=[max(off)])


def row_of(promise: Promise) -> dict[str, Any]:
    """One row of the table."""
    return {
        "promise": promise.name,
        "lines": promise.lines,
        "broken": len(promise.broken),
        "if not asked for": "" if promise.unasked is None else promise.unasked,
        "log-probability off by": f"{max(promise.off, default=0):.1e}",
        "processor seconds": f"{promise.seconds:.0f}",
    }


def notes() -> list[str]:
    """How to read the table."""
    return [
        f"independent: the texts found in {FIRST.name} beside those found {', '.join(way.name for way in OTHERS)}; "
        "a line counts as often as it was translated anew",
        "processor seconds: of this process, without its workers",
        "if not asked for: how many of the same lines break a promise that nobody made: translated by the same "
        "strategy without it",
        "lines: of constraints those that can be satisfied",
        "log-probability off by: the largest difference between the reported one and that of `score_pairs`, of the "
        f"best translation of each line; the last row counts those above {TOLERANCE:g}",
        "what is required or forbidden is looked for by regular expressions in the text, not by mtcli",
    ]


if __name__ == "__main__":
    main()
