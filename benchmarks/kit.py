"""What is each part of the quality kit worth, over several seeds?

    python benchmarks/kit.py --train PREFIX --valid PREFIX --test PREFIX --work DIR [--steps 4000] [--seeds 1 2 3]
        [--only NAMES] [--part "NAME: FLAGS"]... [--jobs 1] [--protocol multi30k-lc] [-- FLAGS OF ALL TRAININGS]

Trains each part with each seed by `mtcli train`, averages the last and the best checkpoints by `mtcli average`, and
scores all three models by `mtcli eval`, each in a process of its own. WORK holds the tokenizer and the encoded
corpus, which all share, and the runs: what is done is not done again, what was interrupted goes on, and the table
shows what is there.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
from kit_parts import PARTS, Part, typed
from measure import Report, child
from trials import answer, common, environment, once, program, stored, tokenizer

AVERAGES = {"": None, ", mean of the last 5": "--last", ", mean of the best 5": "--best"}
"""What is said of a model that is scored, and the flag by which its checkpoints are chosen."""


@dataclass(frozen=True)
class Trial:
    """One training."""

    part: Part
    seed: int

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.part.folder}-{self.seed}"


Figures = Mapping[str, float]
Results = Mapping[Trial, Figures]


def main() -> None:
    args = arguments()
    parts = [part for part in [*PARTS, *args.part] if not args.only or part.name in args.only]
    languages, more = (args.source_lang, args.target_lang), environment(args.work / "cache")
    tokenizer(args.work / "tokenizer", args.train, languages, args.vocab_size, more)
    with ThreadPoolExecutor(args.jobs) as jobs:
        list(jobs.map(lambda trial: done(trial, args), [Trial(part, seed) for seed in args.seeds for part in parts]))
    results = finished([*PARTS, *args.part], args)
    path = Report(
        name=args.name,
        title=args.title or args.name,
        command=measure.command_line({"CORPUS": args.train.parent, "WORK": args.work}),
        rows=rows(results),
        notes=notes(args),
        versions=measure.versions("torch", "sentencepiece", "sacrebleu"),
        raw={trial.folder: dict(figures) for trial, figures in results.items()},
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    common(parser, "kit")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs and their results")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the parts")
    parser.add_argument("--part", type=typed, action="append", default=[], help="one more: NAME: FLAGS; repeatable")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--vocab-size", type=int, default=4000)
    parser.add_argument("--protocol", default="raw", help="how the test set is scored: raw or multi30k-lc")
    parser.add_argument("flags", nargs="*", help="flags of all trainings, after --")
    return parser.parse_args()


def done(trial: Trial, args: argparse.Namespace) -> None:
    """Train and score, unless it has been done."""
    home = args.work / trial.folder
    words = flags(trial, args)

    def train() -> dict[str, Any]:
        trained = child(program("train", *words, "-o", home / "run"), environment(args.work / "cache"))
        log = (home / "run" / "log.jsonl").read_text(encoding="utf-8")
        return {"figures": {**from_log(log), **scores(home, args), "cores of others": trained.other}}

    print(trial.folder, json.dumps(once(home, words, train)["figures"]), flush=True)


def finished(parts: Sequence[Part], args: argparse.Namespace) -> dict[Trial, Figures]:
    """The figures of all trainings that came to their end, of other calls too."""
    trials = [Trial(part, seed) for part in parts for seed in args.seeds]
    found = {trial: stored(args.work / trial.folder) for trial in trials}
    return {trial: result["figures"] for trial, result in found.items() if result}


def flags(trial: Trial, args: argparse.Namespace) -> list[str]:
    """What `mtcli train` is told: the rate falls to 0 unless the part says otherwise, where all are judged."""
    steps = args.steps * (2 if trial.part.twice else 1)
    words = ["--train", args.train, "--valid", args.valid, "-s", args.source_lang, "-t", args.target_lang]
    words += ["--tokenizer", args.work / "tokenizer", "--max-steps", steps, "--validate-every", args.steps // 10]
    words += ["--save-every", args.steps // 10, "--validation-lines", 0, "--keep", 10, "--patience", 0]
    schedule = ["--schedule", "cosine"] if "--schedule" not in trial.part.flags else []
    return [*map(str, words), *schedule, *args.flags, *trial.part.flags, "--seed", str(trial.seed)]


def scores(home: Path, args: argparse.Namespace) -> dict[str, float]:
    """What the test set says of the best checkpoint and of the averages."""
    files = [f"{args.test}.{language}" for language in (args.source_lang, args.target_lang)]
    more, found = environment(args.work / "cache"), {}
    for called, chosen in AVERAGES.items():
        model = home / "run"
        if chosen:
            model = home / f"mean-{chosen.strip('-')}"
            child(program("average", home / "run", chosen, 5, "-o", model), more)
        for score in answer(program("eval", "-m", model, *files, "--protocol", args.protocol, "--json"), more):
            found[f"test {score['name']}{called}"] = score["value"]
    return found


def from_log(log: str) -> dict[str, float]:
    """What the validations of a run said, and how long it took."""
    events = [json.loads(line) for line in log.splitlines()]
    *_, standing = (event for event in events if event["event"] == "steps")
    judged = [event for event in events if event["event"] == "validation"]
    return {
        "minutes": standing["seconds"] / 60,
        "steps": standing["step"],
        "epochs": standing["epoch"],
        "validation loss": min(event["loss"] for event in judged),
        "validation BLEU": max(event["scores"]["BLEU"]["value"] for event in judged),
    }


def rows(results: Results) -> list[dict[str, Any]]:
    """One row for each part; differences are from the first part, with the same seed."""
    parts = list(dict.fromkeys(trial.part for trial in results))
    return [row(part, parts[0], results) for part in parts]


def row(part: Part, first: Part, results: Results) -> dict[str, Any]:
    """A line of the table: means, and for the test set the difference that each seed shows."""
    found = {trial.seed: figures for trial, figures in results.items() if trial.part == part}
    plain = {trial.seed: figures for trial, figures in results.items() if trial.part == first}
    names = list(dict.fromkeys(name for figures in found.values() for name in figures))
    means = {name: statistics.mean(figures[name] for figures in found.values()) for name in names}
    gains = [found[seed]["test BLEU"] - plain[seed]["test BLEU"] for seed in found if seed in plain]
    return {
        "part": part.name,
        "seeds": len(found),
        "minutes": f"{means['minutes']:.1f}",
        "epochs": f"{means['epochs']:.0f}",
        "validation loss": f"{means['validation loss']:.3f}",
        "validation BLEU": f"{means['validation BLEU']:.2f}",
        "test BLEU": f"{means['test BLEU']:.2f}",
        f"more than {first.name}, by seed": ", ".join(f"{gain:+.2f}" for gain in gains) if part != first else "",
        **{f"BLEU{called}": f"{means[f'test BLEU{called}']:.2f}" for called, chosen in AVERAGES.items() if chosen},
        "test chrF2": f"{means['test chrF2']:.2f}",
    }


def notes(args: argparse.Namespace) -> list[str]:
    """How to read the table."""
    return [
        f"{args.steps:,} steps each unless the line says otherwise, the rate falling to 0 by cosine, with"
        f" {' '.join(args.flags) or 'no flags'} for all; one tokenizer of {args.vocab_size:,} pieces; {args.jobs}"
        " training(s) at a time; means over the seeds",
        "validation: the lowest loss, in nats per token without smoothing, and the highest BLEU of greedy"
        " translations, of the whole validation set, cased",
        f"test: the checkpoint that validation chose, and averages of checkpoints, beam 5, protocol {args.protocol}",
        "minutes of the training clock, validations and saves included",
    ]


if __name__ == "__main__":
    main()
