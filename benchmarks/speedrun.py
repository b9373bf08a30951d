"""How long does it take from a corpus to a model of a stated quality, cold?

    python benchmarks/speedrun.py data/recipes/multi30k-en-de.toml --train PREFIX --valid PREFIX --test PREFIX
        --target 41.0 --protocol multi30k-lc [--seeds 1 2 3] [--device cuda] [-- MORE FLAGS OF mtcli train]

The clock runs while `mtcli train` does, in a process of its own: from its start, with a new directory and empty
caches (encoded corpora, compiled kernels) and without a tokenizer, to its end, when the last checkpoint is on the
disk. Then the checkpoint that validation chose translates the test set. A run that does not reach the target is a
result too. Without a recipe it is what `mtcli train` does by itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure
from measure import Report, child
from trials import answer, common, environment, program

CACHES = ("MTCLI_CACHE", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")
"""Variables that name a folder in which something is kept from one process to the next."""


def main() -> None:
    args = arguments()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        for seed in args.seeds:
            results.append({"seed": seed, **attempt(args, seed, Path(folder) / f"seed-{seed}")})
            path = report(args, results)  # again after each seed, so that nothing is lost when time runs out
    print(path.read_text(encoding="utf-8"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", nargs="?", type=Path, help="a recipe (TOML) [default: none]")
    common(parser, "speedrun")
    parser.add_argument("--target", type=float, required=True, help="BLEU to reach on the test set")
    parser.add_argument("--protocol", default="raw", help="how that BLEU is computed: raw or multi30k-lc")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--work", type=Path, help="where to put the runs, which are removed [default: a temporary one]"
    )
    words, more = apart(sys.argv[1:])
    args = parser.parse_args(words)
    args.flags = more
    return args


def apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before and after the first `--`."""
    place = [*words, "--"].index("--")
    return [*words[:place]], [*words[place + 1 :]]


def attempt(args: argparse.Namespace, seed: int, home: Path) -> dict[str, Any]:
    """Train cold, and score what came out; or why there is nothing to score."""
    home.mkdir()
    run = home / "run"
    fresh = cold(home)
    words = ["--train", args.train, "--valid", args.valid, "-s", args.source_lang, "-t", args.target_lang]
    command = program("train", *([args.recipe] if args.recipe else []), *words)
    try:
        done = child([*command, "--seed", str(seed), "--device", args.device, *args.flags, "-o", run], fresh)
    except RuntimeError as error:
        return {"failure": str(error).rstrip()[-1000:]}
    files = [f"{args.test}.{language}" for language in (args.source_lang, args.target_lang)]
    scoring = ["--metrics", "bleu", "--protocol", args.protocol, "--json", "--device", args.device]
    (score,) = answer(program("eval", "-m", run, *files, *scoring), fresh)
    log = (run / "log.jsonl").read_text(encoding="utf-8")
    found = from_log([json.loads(line) for line in log.splitlines()])
    return {"seconds": done.seconds, **found, "test": score, "cores of others": done.other}


def cold(home: Path) -> dict[str, str]:
    """What a process has to know to find nothing that an earlier one made."""
    return {**environment(home), **{name: str(home.absolute() / name.lower()) for name in CACHES}}


def from_log(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the run ended, how long its steps and validations took, and what validation said along the way."""
    curve, standing, validating = [], {"seconds": 0.0}, 0.0
    for event in events:
        if event["event"] == "steps":
            standing = event
        elif event["event"] == "validation":
            curve.append([event["step"], standing["seconds"], event["loss"], event["scores"]["BLEU"]["value"]])
            validating += event["seconds"]
    return {
        "steps": standing["step"],
        "epochs": standing["epoch"],
        "clock": standing["seconds"],
        "validating": validating,
        "curve": curve,
    }


def report(args: argparse.Namespace, results: list[dict[str, Any]]) -> Path:
    """Write the results so far."""
    folders = {"CORPUS": args.train.parent, "WORK": args.work}
    return Report(
        name=args.name,
        title=args.title or args.name,
        command=measure.command_line(folders),
        rows=[row(result, args.target) for result in results],
        notes=[summary(results, args.target), *notes(args)],
        versions={"device": device(args.device), **measure.versions("torch", "sentencepiece", "sacrebleu")},
        raw=results,
    ).write(args.results)


def row(result: dict[str, Any], target: float) -> dict[str, Any]:
    """A line of the table."""
    if "failure" in result:
        return {"seed": result["seed"], "seconds": f"failed: {result['failure'].splitlines()[-1]}"}
    bleu = result["test"]["value"]
    return {
        "seed": result["seed"],
        "seconds": f"{result['seconds']:,.1f}{'!' if result['cores of others'] > measure.QUIET else ''}",
        "start and end": f"{result['seconds'] - result['clock']:,.1f}",
        "validating": f"{result['validating']:,.1f}",
        "steps": f"{result['steps']:,}",
        "best validation BLEU": f"{max((point[-1] for point in result['curve']), default=0.0):.2f}",
        "test BLEU": f"{bleu:.2f}",
        f"{target:g} reached": "yes" if reached(result, target) else "no",
    }


def reached(result: dict[str, Any], target: float) -> bool:
    """Whether the model is as good as it should be."""
    return "failure" not in result and result["test"]["value"] >= target


def summary(results: list[dict[str, Any]], target: float) -> str:
    """How many runs reached the target, and the mean of all that came to an end."""
    ended = [result for result in results if "failure" not in result]
    sentence = f"{sum(reached(result, target) for result in results)} of {len(results)} reached {target:g} BLEU"
    if not ended:
        return sentence
    seconds, bleu = (
        statistics.mean(values)
        for values in ([each["seconds"] for each in ended], [each["test"]["value"] for each in ended])
    )
    return f"{sentence}; on average {seconds:,.1f} s and {bleu:.2f} BLEU; {ended[0]['test']['signature']}"


def notes(args: argparse.Namespace) -> list[str]:
    """How to read the table."""
    return [
        f"from {args.recipe.name if args.recipe else 'no recipe'}, scored by the protocol {args.protocol}",
        "seconds: of the whole command, from its start to its end, all caches empty before; start and end: what of it"
        " is not on the training clock (loading, tokenizer, reading, leaving); validating: its validations",
        "the test set was looked at once, with the checkpoint that validation chose, after the clock had stopped"
        f"; a ! says that other processes used over {measure.QUIET} cores meanwhile",
    ]


def device(name: str) -> str:
    """What was computed on."""
    from mtcli.device import choose_device
    from mtcli.machine import processor_name

    return processor_name(choose_device(name))


if __name__ == "__main__":
    main()
