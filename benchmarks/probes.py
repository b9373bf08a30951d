"""Which models learn a probe task, and up to which length?

    python benchmarks/probes.py [--task memory-game] [--lengths 10 30 100 300 1000] [--updates 150] [--only NAMES]
    python benchmarks/probes.py --task copy --trained-to 20 --lengths 10 20 40 80 [--updates 2000]

Every model has about as many parameters as the first, sees the same sentences, and is updated equally often. It is
trained on sentences of half a length to the whole, and decodes unseen ones of the same lengths greedily; or, with
--trained-to, it is trained once on sentences up to that length, and tested at all.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import measure
import torch
from measure import Report
from sizes import fitted, obstacle, parameters, resolved

from mtcli.data.batches import Place
from mtcli.data.probes import SYMBOLS, Probe, Row
from mtcli.decoding.inference import at_rest, batches
from mtcli.decoding.request import Request
from mtcli.decoding.sampling import greedy
from mtcli.device import use_processor
from mtcli.layout import EOS, Batch, pad
from mtcli.model.build import build
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import DecodingSettings, ModelSettings, TrainingSettings
from mtcli.training.loop import train_step
from mtcli.training.optimizer import adamw
from mtcli.training.precision import Precision
from mtcli.training.state import Progress, TrainState

SMALL = {
    "encoder_layers": 1,
    "decoder_layers": 1,
    "model_dim": 32,
    "feed_forward_dim": 64,
    "heads": 2,
    "dropout": 0.0,
}
RECURRENT = {"architecture": "recurrent"}
MODELS: dict[str, dict[str, Any]] = {
    "transformer": {},
    "transformer, no positions": {"positions": "none"},
    "transformer, rope": {"positions": "rope"},
    "transformer, alibi": {"positions": "alibi"},
    "transformer, t5": {"positions": "t5"},
    "transformer, linear": {
        "encoder_attention": "linear",
        "decoder_attention": "linear",
        "cross_attention": "linear",
    },
    "gru, no attention": {**RECURRENT, "cell": "gru", "cross_attention": "none"},
    "lstm, no attention": {**RECURRENT, "cell": "lstm", "cross_attention": "none"},
    "gru, bahdanau": {**RECURRENT, "cell": "gru", "cross_attention": "bahdanau"},
    "lstm, bahdanau": {**RECURRENT, "cell": "lstm", "cross_attention": "bahdanau"},
    "gru, luong-general": {**RECURRENT, "cell": "gru", "cross_attention": "luong-general"},
}
"""What a name of the table stands for; the first sets the size."""

CPU = torch.device("cpu")
VOCABULARY = EOS + 1 + SYMBOLS
BUDGET = 16_384
"""Tokens decoded together."""

Pair = tuple[Row, Row]


@dataclass(frozen=True)
class Lesson:
    """How a model is trained on a task: as many updates, each on as many new sentences, drawn from `seed`."""

    task: str
    updates: int
    batch: int
    lr: float
    seed: int


def main() -> None:
    args = arguments()
    use_processor(args.threads)
    missing = {name: why for name, changes in MODELS.items() if (why := obstacle({**SMALL, **changes}, VOCABULARY))}
    chosen = [name for name in MODELS if name not in missing and (not args.only or name in args.only)]
    lesson = Lesson(args.task, args.updates, args.batch, args.lr, args.seed)
    rows, raw = [], {}
    for name in chosen:
        settings = sized(MODELS[name])
        started = time.perf_counter()
        found = dict(successes(settings, lesson, args.lengths, args.trained_to, args.tests))
        seconds = time.perf_counter() - started
        size = parameters(settings, VOCABULARY)
        rows.append({"model": name, "parameters": f"{size:,}", **shares(found), "seconds": f"{seconds:.0f}"})
        raw[name] = {"settings": settings.model_dump(), "parameters": size, "success": found, "seconds": seconds}
        print(name, shares(found), f"{seconds:.0f} s", flush=True)
    path = Report(
        name=f"probe-{args.task}" + (f"-{args.trained_to}" if args.trained_to else ""),
        title=f"The probe task {args.task}: share of unseen sentences that are solved, by length",
        command=measure.command_line({}),
        rows=rows,
        notes=[*notes(args), *(f"left out: {name}: {why}" for name, why in missing.items())],
        versions=measure.versions("torch"),
        raw=raw,
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="memory-game")
    parser.add_argument("--lengths", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--trained-to", type=int, default=0, help="train once, on all lengths up to this one")
    parser.add_argument("--updates", type=int, default=150)
    parser.add_argument("--batch", type=int, default=16, help="sentences in an update")
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--tests", type=int, default=200, help="unseen sentences decoded at each length")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(MODELS), help="some of the models", metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that everything runs")
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    args = parser.parse_args()
    if args.quick:
        args.lengths, args.updates, args.tests = [4, 10], 10, 20
    return args


def sized(changes: dict[str, Any]) -> ModelSettings:
    """The settings of a model as large as the first, as far as its width allows."""
    settings, target = resolved({**SMALL, **changes}), parameters(resolved(SMALL), VOCABULARY)
    return settings.model_copy(update={"model_dim": fitted(settings, VOCABULARY, "model_dim", target)})


def successes(
    settings: ModelSettings, lesson: Lesson, lengths: Sequence[int], trained_to: int, tests: int
) -> Iterator[tuple[int, float]]:
    """The share solved at each length, by a model trained at that length, or by one trained up to another."""
    once = trained(settings, lesson, Probe(lesson.task, 1, trained_to)) if trained_to else None
    for length in lengths:
        probe = around(lesson.task, length)
        yield length, success(once or trained(settings, lesson, probe), unseen(probe, tests, lesson.seed + 1))


def around(task: str, length: int) -> Probe:
    """Sentences of half a length to the whole."""
    return Probe(task, max(1, length // 2), length)


def held_out(source: Row) -> bool:
    """Whether a source is kept from all training: one in four, whatever the seed."""
    return crc32("".join(source).encode()) % 4 == 0


def unseen(probe: Probe, count: int, seed: int) -> list[Pair]:
    """Pairs that no training sees; no target more than half of the time, so that guessing solves half at most."""
    chosen: list[Pair] = []
    answers: Counter[tuple[str, ...]] = Counter()
    for source, target in islice(probe.pairs(seed), 1000 * count):
        if held_out(source) and answers[tuple(target)] < (count + 1) // 2:
            chosen.append((source, target))
            answers[tuple(target)] += 1
            if len(chosen) == count:
                break
    return chosen


def trained(settings: ModelSettings, lesson: Lesson, probe: Probe) -> Seq2Seq[Any]:
    """A model after its lesson."""
    torch.manual_seed(lesson.seed)
    model = build(settings, VOCABULARY, VOCABULARY, joint=True)
    training = TrainingSettings(
        lr=lesson.lr,
        warmup_steps=lesson.updates // 10,
        schedule="cosine",
        decay_steps=lesson.updates,
        label_smoothing=0.0,
    )
    state = TrainState(model, adamw(model, training), Precision("fp32", CPU), Progress(), data="")
    fresh = (pair for pair in probe.pairs(lesson.seed) if not held_out(pair[0]))
    for _ in range(lesson.updates):
        sources, targets = zip(*islice(fresh, lesson.batch), strict=True)
        batch = Batch.of([ids(row) for row in sources], [ids(row) for row in targets])
        train_step(state, [(batch, Place())], training)
    return model


def success(model: Seq2Seq[Any], pairs: Sequence[Pair]) -> float:
    """The share of pairs whose whole target is decoded greedily."""
    solved, lengths = 0, [len(source) + 1 for source, _ in pairs]
    with at_rest(model):
        for places in batches(lengths, BUDGET):
            source, rows = pad([[*ids(pairs[place][0]), EOS] for place in places])
            requests = [Request(limit=len(pairs[place][1]) + 2) for place in places]
            found = greedy(model, model.encode(source, rows), requests, DecodingSettings(decoding="greedy"))
            answers = [list(hypotheses[0].tokens) for hypotheses in found]
            solved += sum(answer == ids(pairs[place][1]) for answer, place in zip(answers, places, strict=True))
    return solved / len(pairs)


def ids(row: Row) -> list[int]:
    """The tokens of symbols: a is the first after the special ones."""
    return [EOS + 1 + ord(symbol) - ord("a") for symbol in row]


def shares(found: dict[int, float]) -> dict[str, str]:
    """Successes as columns."""
    return {f"{length:,}": f"{share:.0%}" for length, share in found.items()}


def notes(args: argparse.Namespace) -> list[str]:
    """How to read the table."""
    lesson = (
        f"{args.updates:,} updates on {args.batch} new sentences each, learning rate {args.lr:g}, seed {args.seed}"
    )
    where = f"all lengths up to {args.trained_to:,}" if args.trained_to else "the lengths it is tested at"
    return [
        "a column n holds sentences of n/2 to n symbols; one source in four is kept from training, and "
        f"{args.tests} of these are decoded greedily: the share whose whole target is right",
        "no answer is that of more than half of the tested sentences: in the memory game, 50% is guessing",
        f"each model is trained on {where}: {lesson}; fp32, {args.threads} thread(s)",
    ]


if __name__ == "__main__":
    main()
