"""A few steps of mtcli's own training loop on files of pieces, one line of JSON for each step.

    python benchmarks/mtcli_steps.py --pieces DIR --out FILE [--steps 33] [--shape small] [--max-tokens 4096] ...

DIR holds `vocab.pieces` (one piece per line) and `train.sp.en`, `train.sp.de` (pieces separated by blanks), as the
other toolkits get them. The lines have the form of theirs: the time, and the tokens so far, counted alike for all:
source pieces without EOS, target pieces with one EOS.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import torch
from measure import machine_seconds
from shapes import SHAPES

from mtcli.data.batches import Batches, Place
from mtcli.data.encoded import Encoded
from mtcli.device import choose_precision, use_processor
from mtcli.layout import EOS, UNK, Batch
from mtcli.model.build import build
from mtcli.settings import Recipe
from mtcli.training.loop import fit
from mtcli.training.meter import StepMetrics
from mtcli.training.optimizer import adamw
from mtcli.training.precision import Precision
from mtcli.training.state import Progress, TrainState


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pieces", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=33)
    parser.add_argument("--max-tokens", type=int, default=4096)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    cpu = torch.device("cpu")
    use_processor(args.threads)
    # The same call as `mtcli train`'s: its trial of bf16 may tell oneDNN which instructions to keep to.
    precision = Precision(choose_precision(args.precision, cpu), cpu)
    settings = SHAPES[args.shape].recipe(max_tokens=args.max_tokens, max_steps=args.steps)
    corpus, vocabulary = read_pieces(args.pieces)
    torch.manual_seed(settings.training.seed)
    model = build(settings.model, vocabulary, vocabulary, joint=True)
    print("parameters", sum(parameter.numel() for parameter in model.parameters()))
    state = TrainState(model, adamw(model, settings.training), precision, Progress(), data="")
    batches = CountedBatches(corpus, settings.training.max_tokens, settings.training.seed)
    with args.out.open("w", buffering=1) as file:
        fit(state, batches, settings.training, StepClock(state, settings, batches, file))


def read_pieces(folder: Path) -> tuple[Encoded, int]:
    """The training pairs as token ids, and the size of the vocabulary with its four special tokens."""
    pieces = (folder / "vocab.pieces").read_text(encoding="utf-8").rstrip("\n").split("\n")
    ids = {piece: token for token, piece in enumerate(pieces, EOS + 1)}

    def side(language: str) -> list[list[int]]:
        lines = (folder / f"train.sp.{language}").read_text(encoding="utf-8").rstrip("\n").split("\n")
        return [[ids.get(piece, UNK) for piece in line.split(" ")] for line in lines]

    return Encoded.of(side("en"), side("de")), EOS + 1 + len(pieces)


class CountedBatches(Batches):
    """Batches that remember what they gave."""

    sentences = 0
    padded = 0

    def from_(self, place: Place, rank: int = 0, world: int = 1) -> Iterator[tuple[Batch, Place]]:
        """As the other batches."""
        for batch, behind in super().from_(place, rank, world):
            self.sentences += len(batch.source)
            self.padded += batch.source.numel() + batch.target_out.numel()
            yield batch, behind


class StepClock:
    """Stands where a `Run` stands: knows when to end, and writes down each step; nothing is validated or saved."""

    interrupted = False

    def __init__(self, state: TrainState, recipe: Recipe, batches: CountedBatches, file: TextIO) -> None:
        self.state = state
        self.last = recipe.training.max_steps
        self.batches = batches
        self.file = file
        self.target = 0

    def report(self, metrics: StepMetrics) -> None:
        """Write down one step."""
        self.target += metrics.target_tokens
        used = resource.getrusage(resource.RUSAGE_SELF)
        line = {
            "step": self.state.progress.step,
            "t": time.perf_counter(),
            "src": self.state.progress.tokens - self.target - self.batches.sentences,  # one EOS for each sentence
            "tgt": self.target,
            "sents": self.batches.sentences,
            "padded": self.batches.padded,
            "maxrss_kb": used.ru_maxrss,
            "busy": machine_seconds(),
            "utime": used.ru_utime,
            "stime": used.ru_stime,
            "loss": float(metrics.loss) / metrics.target_tokens,
        }
        self.file.write(json.dumps(line) + "\n")

    def finished(self) -> str | None:
        """Why the run is at its end; None while it is not."""
        return "enough" if self.state.progress.step >= self.last else None

    def validate(self) -> None:
        """Not here."""

    def save(self) -> None:
        """Not here."""


if __name__ == "__main__":
    main()
