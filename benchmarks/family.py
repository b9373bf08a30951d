"""What does each attention, position, cell and block buy, at equal size and equal updates?

    CORPORA=DIR python benchmarks/family.py --work DIR [--updates 1000] [--only NAMES] [--list]
    CORPORA=DIR python benchmarks/family.py --work DIR --corpus tatoeba-en-de --preset base --minutes 3 --device cuda

Trains every variant by `mtcli train`, and translates the test set by `mtcli eval` with a beam of 5, each in a process
of its own. WORK holds the tokenizer and the encoded corpus, which all share, and a folder for each variant with its
run and its result: what is done is not done again, what was interrupted goes on, and the table shows what is there.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure
from measure import Report, Sample, child, figure
from sizes import obstacle
from trials import environment, once, stored, tokenizer
from variants import FAIR, MAX_LENGTH, Variant, fair, sized, variants

CORPORA = {"multi30k": ("train", "val", "test_2016_flickr"), "tatoeba-en-de": ("train", "dev", "test")}
"""Training, validation and test files of a corpus."""


def main() -> None:
    args = arguments()
    every = list(variants())
    impossible = {
        each.name: why
        for each in every
        if (why := obstacle({"preset": args.preset, **each.settings}, args.vocab_size))
    }
    chosen = [each for each in every if each.name not in impossible and (not args.only or each.name in args.only)]
    if unknown := set(args.only or []) - {each.name for each in every}:
        raise SystemExit(f"there is no variant {', '.join(sorted(unknown))}; --list shows all")
    if args.list:
        for each in every:
            print(each.name, impossible.get(each.name, each.changes), sep="\t")
        return
    place = Place(args)
    for each in chosen:
        print(each.name, json.dumps(shown(done(each, place))), flush=True)
    results = {each.name: result for each in every if (result := read(place.home(each)))}
    path = Report(
        name=f"family-{args.corpus}",
        title=f"The family on {args.corpus}",
        command=measure.command_line({"CORPORA": place.corpora, "WORK": args.work}),
        rows=[{"variant": name, **shown(result)} for name, result in results.items()],
        notes=[*notes(args), *(f"left out: {name}: {why}" for name, why in impossible.items())],
        versions=measure.versions("torch", "sentencepiece", "sacrebleu"),
        raw=results,
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs and their results")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the variants")
    parser.add_argument("--list", action="store_true", help="show the variants, and why some cannot be built")
    parser.add_argument("--corpora", type=Path, help="folder of the corpora [default: $CORPORA]")
    parser.add_argument("--corpus", choices=list(CORPORA), default="multi30k")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--vocab-size", type=int, default=4000)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=0, help="equal time instead of equal updates")
    parser.add_argument("--warmup-steps", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    return parser.parse_args()


class Place:
    """Where everything is, and how commands run there."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        corpora = measure.corpora(args.corpora)
        if corpora is None:
            raise SystemExit("name the folder of the corpora with --corpora or $CORPORA")
        self.corpora = corpora
        self.train, self.valid, self.test = (corpora / args.corpus / name for name in CORPORA[args.corpus])
        self.tokenizer = args.work / f"tokenizer-{args.vocab_size}"
        self.environment = {**environment(args.work / "cache"), "OMP_NUM_THREADS": str(args.threads)}

    def home(self, variant: Variant) -> Path:
        """The folder of a variant."""
        return Path(self.args.work / variant.folder)

    def mtcli(self, *words: object) -> measure.Child:
        """Run a command; it tells at its end how much of a GPU's memory it has used."""
        program = "from mtcli.cli.main import main; main()"
        if self.args.device.startswith("cuda"):
            program = f"import atexit, torch; atexit.register(lambda: {GPU_PEAK}); {program}"
        return child([sys.executable, "-c", program, *map(str, words)], self.environment)


GPU_PEAK = "print('GPU bytes', torch.cuda.max_memory_allocated())"


def done(variant: Variant, place: Place) -> dict[str, Any]:
    """The result of a variant, from its folder if it is there."""
    words, home = training(variant, place), place.home(variant)

    def train() -> dict[str, Any]:
        tokenizer(place.tokenizer, place.train, ("en", "de"), place.args.vocab_size, place.environment)
        try:
            return measured(words, place, home / "run")
        except RuntimeError as error:
            return {"failure": reason(str(error))}

    once(home, words, train)
    return read(home) or {}


def reason(output: str) -> str:
    """Why a process failed: its sentence to the user, or else its last line."""
    lines = output.rstrip().splitlines()
    return next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])


def read(home: Path) -> dict[str, Any] | None:
    """The result in a folder, if there is one."""
    found, measured = stored(home), home / "speed.json"
    if found and measured.exists():
        found["speed"] = json.loads(measured.read_text(encoding="utf-8"))
    return found


def training(variant: Variant, place: Place) -> list[str]:
    """The flags of `mtcli train` that say what is learnt, and for how long."""
    args = place.args
    words = ["--preset", args.preset, "--optimizer", "adamw", "--warmup-steps", str(args.warmup_steps)]
    words += ["--max-length", str(MAX_LENGTH)]
    words += ["--max-tokens", str(args.max_tokens), "--precision", args.precision, "--device", args.device]
    words += ["--threads", str(args.threads), "--seed", "1"]
    if args.minutes:
        words += ["--max-minutes", f"{args.minutes:g}", "--validate-every", "1000000"]
    else:
        words += ["--schedule", "cosine", "--max-steps", str(args.updates), "--validate-every", str(args.updates)]
    for name, value in sized(variant, args.preset, args.vocab_size).items():
        flag = name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return words


def measured(words: Sequence[str], place: Place, run: Path) -> dict[str, Any]:
    """Train, look, and translate the test set."""
    data = ["--train", place.train, "--valid", place.valid, "-s", "en", "-t", "de", "--tokenizer", place.tokenizer]
    ending = ["--metric", "loss", "--patience", 0, "--keep", 1, "--save-every", 500, "--samples", 1]
    trained = place.mtcli("train", *data, *words, *ending, "-o", run)
    info = json.loads(json_in(place.mtcli("info", run, "--json").output))
    files = [f"{place.test}.en", f"{place.test}.de"]
    device = ["--device", place.args.device, "--threads", place.args.threads]
    scoring = ["--beam-size", 5, "--bootstrap", 1000, "--json"]
    scored = place.mtcli("eval", "-m", run, *files, *device, *scoring)
    return {
        "parameters": info["parameters"],
        **from_log((run / "log.jsonl").read_text(encoding="utf-8")),
        "peak MB": peak_mb(trained),
        "scores": {score["name"]: score for score in json.loads(json_in(scored.output))},
        "training seconds": trained.seconds,
        "cores of others": trained.other,
    }


def from_log(text: str) -> dict[str, Any]:
    """Speed, steps and the last validation loss of a run."""
    events = [json.loads(line) for line in text.splitlines()]
    steps = [event for event in events if event["event"] == "steps"]
    losses = [event["loss"] for event in events if event["event"] == "validation"]
    speeds = [event["tokens_per_second"] for event in steps]
    return {"steps": steps[-1]["step"], "tokens/s": statistics.median(speeds), "validation loss": losses[-1]}


def json_in(output: str) -> str:
    """The JSON in what a process said: from a line that is or begins with a bracket to the last such line."""
    found = re.search(r"^[\[{].*^[\]}]", output, re.MULTILINE | re.DOTALL)
    if not found:
        raise RuntimeError(f"there is no JSON in: {output[-500:]}")
    return found[0]


def peak_mb(trained: measure.Child) -> float:
    """Peak memory of the process, or of its GPU."""
    told = re.findall(r"^GPU bytes (\d+)$", trained.output, re.MULTILINE)
    return int(told[-1]) / 2**20 if told else trained.peak_mb


def shown(result: dict[str, Any]) -> dict[str, str]:
    """A row of the table."""
    if "failure" in result:
        return {"parameters": f"failed: {result['failure']}"}
    row = {
        "parameters": f"{result['parameters']:,}",
        "updates": f"{result['steps']:,}",
        "tokens/s": speed(result),
        "peak MB": f"{result['peak MB']:,.0f}",
        "validation perplexity": f"{math.exp(result['validation loss']):.2f}",
    }
    for name, score in result["scores"].items():
        low, high = score["interval"]
        row[f"test {name}"] = f"{score['value']:.1f} ({low:.1f}-{high:.1f})"
    return row


def speed(result: dict[str, Any]) -> str:
    """Tokens per second: of `family_speed.py` where it has measured, else of the training, marked if not alone."""
    if "speed" in result:
        return str(figure([Sample(**sample) for sample in result["speed"]]))
    return f"{result['tokens/s']:,.0f}{'!' if result['cores of others'] > measure.QUIET else ''}"


def notes(args: argparse.Namespace) -> list[str]:
    """How to read the table."""
    length = (
        f"{args.minutes:g} minutes" if args.minutes else f"{args.updates:,} updates, learning rate by cosine to 0"
    )
    parts = "; ".join(f"{name}: {settings(name)}, {why}" for name, (_, why) in FAIR.items())
    return [
        f"preset {args.preset}, AdamW, {length}, warm-up {args.warmup_steps}, {args.max_tokens:,} tokens in a batch, "
        f"{args.precision} on {args.device}, {args.threads} thread(s), one tokenizer of {args.vocab_size:,} joint "
        "pieces; one seed each: differences within the intervals may be chance",
        "full: full attention everywhere, sinusoidal positions, pre-norm, LayerNorm, ReLU; every other line changes "
        "what it names; recurrent models have 2+2 layers, and widths are set so that all are about equally large",
        "scores of the test set translated with a beam of 5; in parentheses the 95 % interval of 1,000 resamplings; "
        "perplexity is per piece, without label smoothing",
        "tokens/s: source and target tokens that training takes; with a range: the models in turns, alone on the "
        f"machine (family_speed.py); a ! says that other processes used over {measure.QUIET} cores meanwhile; "
        "peak MB: memory of the training process, or of its GPU",
        f"settings for sentences of about 15 tokens: {parts}",
    ]


def settings(name: str) -> str:
    """The settings of a part, as flags."""
    return " ".join(f"--{key.replace('_', '-')} {value}" for key, value in fair(name).items())


if __name__ == "__main__":
    main()
