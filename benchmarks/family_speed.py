"""How fast does each model of the family train? Measured after `family.py`, when nothing else runs.

    CORPORA=DIR python benchmarks/family_speed.py --work DIR [--rounds 3] [--steps 8]

All models whose result lies in WORK take turns on the same batches, step by step through mtcli's own training loop.
Each leaves its windows in a `speed.json` beside its result, which `family.py` then shows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import torch
from family import CORPORA, read
from measure import Stopwatch
from variants import MAX_LENGTH, variants

from mtcli import recipe as recipes
from mtcli.data.batches import Batches
from mtcli.data.corpus import Account, open_corpora
from mtcli.data.encoded import Encoded, encode
from mtcli.data.tokenizer import Tokenizer
from mtcli.device import use_processor
from mtcli.model.build import build
from mtcli.settings import Recipe
from mtcli.training.loop import groups, train_step
from mtcli.training.optimizer import adamw
from mtcli.training.precision import Precision
from mtcli.training.state import Progress, TrainState

WARM_UP = 2
"""Steps before each window, for caches and memory to be as in a long run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs and their results")
    parser.add_argument("--corpora", type=Path, help="folder of the corpora [default: $CORPORA]")
    parser.add_argument("--corpus", choices=list(CORPORA), default="multi30k")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="in a window")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    use_processor(args.threads)
    homes = [args.work / each.folder for each in variants()]
    homes = [home for home in homes if "failure" not in (read(home) or {"failure": "missing"})]
    recipe = {home: recipes.load(home / "run" / "recipe.toml") for home in homes}
    corpus, vocabulary = prepared(args)
    windows: dict[Path, list[dict[str, float]]] = {home: [] for home in homes}
    for number in range(args.rounds):
        for home in homes:
            windows[home].append(window(recipe[home], corpus, vocabulary, args.steps))
            print(number, home.name, f"{windows[home][-1]['rate']:,.0f}", flush=True)
    for home, samples in windows.items():
        (home / "speed.json").write_text(json.dumps(samples) + "\n", encoding="utf-8")


def prepared(args: argparse.Namespace) -> tuple[Encoded, int]:
    """The corpus as tokens, and the size of its vocabulary."""
    corpora = measure.corpora(args.corpora)
    if corpora is None:
        raise SystemExit("name the folder of the corpora with --corpora or $CORPORA")
    tokenizer = Tokenizer.load(next(args.work.glob("tokenizer-*")))
    opened = open_corpora([str(corpora / args.corpus / CORPORA[args.corpus][0])], "en", "de")
    return encode(opened, tokenizer, MAX_LENGTH, args.work / "cache", Account()), tokenizer.source_size


def window(recipe: Recipe, corpus: Encoded, vocabulary: int, steps: int) -> dict[str, float]:
    """Tokens per second of some steps, and the cores that others used meanwhile."""
    torch.manual_seed(1)
    model = build(recipe.model, vocabulary, vocabulary, joint=True)
    cpu = torch.device("cpu")
    state = TrainState(model, adamw(model, recipe.training), Precision("fp32", cpu), Progress(), data="")
    stream = groups(Batches(corpus, recipe.training.max_tokens, 1).from_(state.progress.place), 1)
    advance(state, stream, recipe, WARM_UP)
    tokens = state.progress.tokens
    with Stopwatch() as watch:
        advance(state, stream, recipe, steps)
    return vars(watch.sample(state.progress.tokens - tokens))


def advance(state: TrainState, stream: Iterator[Any], recipe: Recipe, steps: int) -> None:
    """Take some steps."""
    for _ in range(steps):
        train_step(state, next(stream), recipe.training)


if __name__ == "__main__":
    main()
