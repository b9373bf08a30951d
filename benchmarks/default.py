"""Is what the presets add to plain training worth its time, on a whole corpus?

    python benchmarks/default.py --train PREFIX --valid PREFIX --test PREFIX -s en -t de --work DIR
        [--minutes 60] [--seeds 1] [--without "FLAGS"] [-- FLAGS OF BOTH]

Trains what `mtcli train` does by itself, and the same without the kit, both at the same time, each with one thread
and the same minutes; both then translate the test set, and sacreBLEU's approximate randomisation says how likely so
large a difference would be by chance. WORK holds the tokenizer and the encoded corpus, which both share, and the
runs: what is done is not done again, what was interrupted goes on.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import measure
from kit import from_log
from measure import Report, child
from sacrebleu.metrics import CHRF
from sacrebleu.significance import PairedTest
from trials import answer, common, environment, once, program, tokenizer

from mtcli.language import bleu_metric

DEFAULT, WITHOUT = "default", "without the kit"
NEUTRAL = "--optimizer adamw --ema 0 --r-drop 0 --simcut 0 --bpe-dropout 0 --unigram-temperature 0"


def main() -> None:
    args = arguments()
    tokenizer(args.work / "tokenizer", args.train, languages(args), args.vocab_size, environment(args.work / "cache"))
    results = {seed: compared(seed, args) for seed in args.seeds}
    path = Report(
        name=args.name,
        title=args.title or args.name,
        command=measure.command_line({"CORPUS": args.train.parent, "WORK": args.work}),
        rows=[row for seed, found in results.items() for row in rows(seed, found)],
        notes=notes(args, results),
        versions=measure.versions("torch", "sentencepiece", "sacrebleu"),
        raw=results,
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    common(parser, "default")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs and their results")
    parser.add_argument("--minutes", type=float, default=60.0, help="of each training")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--without", default=NEUTRAL, metavar="FLAGS", help="what takes the kit away")
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("flags", nargs="*", help="flags of both trainings, after --")
    return parser.parse_args()


def languages(args: argparse.Namespace) -> tuple[str, str]:
    """Source and target."""
    return args.source_lang, args.target_lang


def compared(seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Both trainings with a seed, and how likely differences as large as theirs are where there is none."""
    arms = {DEFAULT: [], WITHOUT: shlex.split(args.without)}
    with ThreadPoolExecutor(len(arms)) as jobs:
        results = jobs.map(lambda arm: trained(arm, arms[arm], seed, args), arms)
        found: dict[str, Any] = dict(zip(arms, results, strict=True))
    lines = [(place(arm, seed, args) / "translations").read_text(encoding="utf-8").splitlines() for arm in arms]
    reference = Path(f"{args.test}.{args.target_lang}").read_text(encoding="utf-8").splitlines()
    return {**found, "p": chances(*lines, reference, args.target_lang)}


def trained(arm: str, flags: Sequence[str], seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """What a training and its translations of the test set came to, unless it has been done."""
    home = place(arm, seed, args)
    words = ["--train", args.train, "--valid", args.valid, "-s", args.source_lang, "-t", args.target_lang]
    words += ["--tokenizer", args.work / "tokenizer", "--max-minutes", args.minutes, "--threads", 1, "--seed", seed]
    words = [*map(str, words), *flags, *args.flags]

    def train() -> dict[str, Any]:
        more = environment(args.work / "cache")
        child(program("train", *words, "-o", home / "run"), more)
        files = [f"{args.test}.{language}" for language in languages(args)]
        scoring = ["--threads", 1, "--json", "-o", home / "translations"]
        scores = answer(program("eval", "-m", home / "run", *files, *scoring), more)
        return {**from_log((home / "run" / "log.jsonl").read_text(encoding="utf-8")), "scores": scores}

    return once(home, words, train)


def place(arm: str, seed: int, args: argparse.Namespace) -> Path:
    """The folder of a training."""
    return Path(args.work) / f"{arm.replace(' ', '-')}-{seed}"


def chances(one: list[str], other: list[str], reference: list[str], language: str) -> dict[str, float]:
    """The p-value of the difference in each metric (Riezler & Maxwell 2005, as sacreBLEU has it)."""
    metrics = {"BLEU": bleu_metric(language, None, lowercase=False), "chrF2": CHRF()}
    _, scores = PairedTest([("one", one), ("other", other)], metrics, [reference])()
    return {name: scores[name][1].p_value for name in metrics}


def rows(seed: int, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line of the table for each training with this seed."""
    return [row(arm, seed, found[arm], found["p"] if arm == DEFAULT else {}) for arm in (WITHOUT, DEFAULT)]


def row(arm: str, seed: int, result: Mapping[str, Any], p: Mapping[str, float]) -> dict[str, Any]:
    """A line of the table."""
    scores = {score["name"]: score["value"] for score in result["scores"]}
    return {
        "training": arm,
        "seed": seed,
        "minutes": f"{result['minutes']:.1f}",
        "steps": f"{result['steps']:,}",
        "epochs": result["epochs"],
        "validation loss": f"{result['validation loss']:.3f}",
        **{f"test {name}": f"{value:.2f}" for name, value in scores.items()},
        **{f"p, {name}": f"{p[name]:.4f}" if p else "" for name in scores},
    }


def notes(args: argparse.Namespace, results: Mapping[int, Any]) -> list[str]:
    """How to read the table."""
    signatures = [score["signature"] for found in results.values() for score in found[DEFAULT]["scores"]]
    return [
        f"without the kit: {args.without}; both: {' '.join(args.flags) or 'no further flags'}, the same tokenizer of"
        f" {args.vocab_size:,} pieces, one thread each, both at the same time",
        "the checkpoint that validation chose; p: paired approximate randomisation by sacreBLEU, 10,000 trials",
        *dict.fromkeys(signatures),
    ]


if __name__ == "__main__":
    main()
