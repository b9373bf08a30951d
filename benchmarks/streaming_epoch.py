"""Makes all batches of an epoch, and tells the times as a line of JSON; `streaming.py` starts it and looks on.

    MTCLI_CACHE=DIR python benchmarks/streaming_epoch.py --train PREFIX --tokenizer DIR

No model is there, so that an epoch of 20 million pairs takes a minute or two.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from mtcli.data.batches import Batches, Place
from mtcli.data.corpus import Account, open_corpora
from mtcli.data.encoded import encode
from mtcli.data.tokenizer import Tokenizer
from mtcli.settings import DataSettings
from mtcli.training.material import cache_directory

MAX_TOKENS = 4096
FAR = 1_000_000
"""As many batches as may be behind a place; a number that costs nothing is the point."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    args = parser.parse_args()
    corpora = open_corpora([args.train], "en", "de")
    tokenizer = Tokenizer.load(args.tokenizer)
    corpus = encode(corpora, tokenizer, DataSettings().max_length, cache_directory(), Account())
    batches = Batches(corpus, MAX_TOKENS, seed=1)
    last = batches.shards - 1
    middle = sum(1 for _ in batches.through(3, last)) // 2
    times = {
        "first": seconds_to_a_batch(batches, Place()),
        "far": seconds_to_a_batch(batches, Place(3, FAR + middle, last, FAR)),
    }
    started, pairs = time.perf_counter(), 0
    for batch, place in batches.from_(Place()):
        pairs += len(batch.source)
        if place.epoch:
            break
    seconds = time.perf_counter() - started
    assert pairs == len(corpus), "an epoch has every pair once"
    print(json.dumps({**times, "epoch": seconds, "pairs": pairs, "shards": batches.shards}))


def seconds_to_a_batch(batches: Batches, place: Place) -> float:
    """How long the first batch takes."""
    started = time.perf_counter()
    next(batches.from_(place))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
