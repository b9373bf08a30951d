"""Everything worth knowing on one GPU, in one call of less than ten minutes: tests, throughput, MFU, time to BLEU.

    python benchmarks/gpu.py --multi30k DIR --tatoeba DIR --out DIR [--budget 560] [--parts throughput]

The folders hold {train,val,test_2016_flickr}.{en,de} and {train,dev,test}.{en,de}. First `pytest -m gpu`; then a
few seconds of training for each model, precision and corpus; then training until the budget (in seconds) is spent,
each run getting its share. OUT/gpu.json is rewritten after every part, so that nothing is lost when time runs out.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import measure
import torch

from mtcli import recipe as recipes
from mtcli.data import tokenizer as tokenizers
from mtcli.data.batches import Batches
from mtcli.data.corpus import Account, open_corpora
from mtcli.data.encoded import Encoded, encode
from mtcli.layout import Batch
from mtcli.model.build import build
from mtcli.model.flops import training_flops
from mtcli.settings import Recipe, TokenizerSettings
from mtcli.training.loop import groups, train_step
from mtcli.training.optimizer import adamw
from mtcli.training.precision import Precision
from mtcli.training.state import Progress, TrainState

PRESETS, PRECISIONS, BUDGETS = ("small", "base"), ("bf16", "fp16"), (4096, 25_000)
"""Budgets are tokens in a batch."""
CONVERGENCE = [
    ("multi30k", "small", "bf16"),
    ("tatoeba", "base", "bf16"),
    ("multi30k", "small", "fp16"),
    ("tatoeba", "small", "bf16"),
    ("multi30k", "base", "bf16"),
    ("tatoeba", "base", "fp16"),
]
# One warm-up and learning rate for all, so that a minute or two is enough to see them learn; pre-norm for the same.
QUICK = shlex.split("--optimizer adamw --norm pre --lr 1e-3 --warmup-steps 500 --dropout 0.2 --max-tokens 8192")
PIECES = 8000
PARTS = ("tests", "throughput", "convergence")


@dataclass
class Session:
    """The results so far, where they go, and when time is up."""

    out: Path
    deadline: float
    results: dict[str, Any] = field(default_factory=dict)

    def left(self) -> float:
        """Seconds until the budget is spent."""
        return self.deadline - time.monotonic()

    def keep(self, part: str, result: Any) -> None:
        """Add a result, and write all of them."""
        self.results.setdefault(part, []).append(result)
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "gpu.json").write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")
        print(part, json.dumps(result)[:300], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--multi30k", type=Path, required=True)
    parser.add_argument("--tatoeba", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=560)
    parser.add_argument("--seconds", type=float, default=4, help="for each throughput")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    session = Session(args.out, time.monotonic() + args.budget)
    device = torch.device(args.device)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        os.environ["MTCLI_CACHE"] = str(scratch / "cache")
        session.keep("facts", facts(device))
        if "tests" in args.parts:
            session.keep("tests", gpu_tests())
        peak = peak_flops(device)
        session.keep("peak", {"bf16 matmul, TFLOP/s": peak / 1e12})
        prefixes = {
            "multi30k": (args.multi30k / "train", args.multi30k / "val"),
            "tatoeba": (args.tatoeba / "train", args.tatoeba / "dev"),
        }
        corpora = {name: prepared(train, scratch / name) for name, (train, _) in prefixes.items()}
        later = 120 if "convergence" in args.parts else 20
        for name, preset, precision, tokens in product(corpora, PRESETS, PRECISIONS, BUDGETS):
            about = {"corpus": name, "preset": preset, "precision": precision, "max_tokens": tokens}
            if "throughput" in args.parts and session.left() > later:
                session.keep("throughput", about | throughput(corpora[name], about, device, args.seconds, peak))
        for number, (name, preset, precision) in enumerate(CONVERGENCE if "convergence" in args.parts else []):
            seconds = session.left() / (len(CONVERGENCE) - number) - 15  # loading and a last validation
            if seconds > 20:
                about = {"corpus": name, "preset": preset, "precision": precision}
                home = scratch / f"run-{number}"
                session.keep("convergence", about | converge(prefixes[name], about, seconds, home, args.device))


def facts(device: torch.device) -> dict[str, Any]:
    """The machine and the versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    return {"gpu": name, **measure.machine(), **measure.versions("torch")}


def gpu_tests() -> dict[str, Any]:
    """`pytest -m gpu`; the end of what it says."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-x"]
    try:
        done = subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return {"exit code": None, "output": "more than 120 s"}
    return {"exit code": done.returncode, "output": (done.stdout + done.stderr)[-1500:]}


def peak_flops(device: torch.device, size: int = 8192) -> float:
    """Operations per second of a large bf16 product: the best of several."""
    size = size if device.type == "cuda" else 512
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(20):
        synchronize(device)
        started = time.perf_counter()
        a @ b
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)


def prepared(prefix: Path, home: Path) -> tuple[Encoded, int]:
    """A corpus as tokens, and the size of its vocabulary; the tokenizer stays in `home`."""
    corpora = open_corpora([str(prefix)], "en", "de")
    learnt = tokenizers.train(corpora[0].pairs(Account()), TokenizerSettings(vocab_size=PIECES), home).tokenizer
    return encode(corpora, learnt, 256, home / "cache", Account()), learnt.source_size


def throughput(
    corpus: tuple[Encoded, int], about: dict[str, Any], device: torch.device, seconds: float, peak: float
) -> dict[str, Any]:
    """Tokens per second, MFU and peak memory of the training loop's steps."""
    typed = {name: about[name] for name in ("preset", "precision", "max_tokens")}
    recipe = recipes.resolve({}, typed | {"dropout": 0.1, "optimizer": "adamw"})
    encoded, vocabulary = corpus
    state = fresh(recipe, vocabulary, device)
    stream = groups(Batches(encoded, recipe.training.max_tokens, 1).from_(state.progress.place), 1)
    for _ in range(10):
        train_step(state, next(stream), recipe.training)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    synchronize(device)
    started, tokens, steps = time.perf_counter(), state.progress.tokens, state.progress.step
    done: list[Batch] = []
    while time.perf_counter() - started < seconds:
        group = next(stream)
        train_step(state, group, recipe.training)
        done += [batch for batch, _ in group]
    synchronize(device)
    passed = time.perf_counter() - started
    work = sum(batch_flops(recipe, vocabulary, batch) for batch in done)  # counted after the clock has stopped
    return {
        "tokens/s": (state.progress.tokens - tokens) / passed,
        "steps/s": (state.progress.step - steps) / passed,
        "TFLOP/s": work / passed / 1e12,
        "MFU": work / passed / peak,
        "peak memory, GB": torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None,
        "skipped": state.progress.skipped,
    }


def batch_flops(recipe: Recipe, vocabulary: int, batch: Batch) -> int:
    """Model FLOPs of one batch."""
    lengths = batch.source_rows.lengths.tolist(), batch.target_rows.lengths.tolist()
    return training_flops(recipe.model, vocabulary, *lengths)


def fresh(recipe: Recipe, vocabulary: int, device: torch.device) -> TrainState:
    """A new state of training."""
    torch.manual_seed(1)
    model = build(recipe.model, vocabulary, vocabulary, joint=True).to(device)
    precision = Precision(recipe.training.precision, device)  # type: ignore[arg-type]
    return TrainState(model, adamw(model, recipe.training), precision, Progress(), data="")


def converge(
    prefixes: tuple[Path, Path], about: dict[str, Any], seconds: float, home: Path, device: str
) -> dict[str, Any]:
    """`mtcli train` for so many seconds: when it reached which BLEU on the validation set."""
    train, valid = prefixes
    words = ["train", "--train", train, "--valid", valid, "-s", "en", "-t", "de", "-o", home]
    words += ["--tokenizer", home.parent / about["corpus"], "--preset", about["preset"], *QUICK]
    words += ["--precision", about["precision"], "--device", device, "--patience", "0", "--keep", "1"]
    words += ["--max-minutes", str(seconds / 60), "--validate-every", "300", "--save-every", "100000"]
    program = "from mtcli.cli.main import main; main()"
    command = [sys.executable, "-c", program, *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        failure = done.stderr[-1000:] if done.returncode else None
    except subprocess.TimeoutExpired:
        failure = f"not at its end {seconds + 60:.0f} s after its start"
    curve, clock = [], 0.0
    log = home / "log.jsonl"
    for line in log.read_text(encoding="utf-8").rstrip("\n").split("\n") if log.exists() else []:
        event = json.loads(line)
        if event["event"] == "steps":
            clock = event["seconds"]
        else:
            curve.append([event["step"], round(clock, 1), event["loss"], event["scores"]["BLEU"]["value"]])
    return {"settings": " ".join(QUICK), "step, seconds, loss, BLEU": curve, "failure": failure}


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
