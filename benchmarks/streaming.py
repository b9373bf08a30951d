"""Does memory grow with the corpus? `mtcli train` on ever more generated pairs, watched from outside.

    python benchmarks/streaming.py [--pairs 200000 2000000 20000000] [--steps 300] [--scratch DIR]

For each number of pairs, text is written, `mtcli train` reads it and takes some hundred steps with a tiny model, and
then `streaming_epoch.py` goes through the batches of a whole epoch. Linux only: memory is what `/proc` says.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import measure
import numpy as np
from measure import Report

from mtcli.data import tokenizer as tokenizers
from mtcli.data.corpus import Account, open_corpora
from mtcli.data.encoded import Numbers, Sentences
from mtcli.settings import TokenizerSettings

LANGUAGES = ("en", "de")
WORDS, LETTERS, LENGTHS = 5000, (2, 8), (3, 9)
"""How many words there are, how many letters they have, and how many words a sentence has: from, to."""
CHUNK = 100_000
"""Pairs written at once."""
TOKENIZER_PAIRS, VOCABULARY = 20_000, 2000
VALIDATION_PAIRS = 100
BYTES = 200
"""On the disk, for a pair: its text, its tokens, where they begin, and something to spare."""
EVERY, KEPT = 0.1, 100
"""Seconds between two looks at the memory, and how many of a process' looks are written down."""


@dataclass(frozen=True)
class Moment:
    """What a process held, in MB: for itself alone, and of files that are mapped, its libraries among them."""

    phase: str
    seconds: float
    private: float
    mapped: float


@dataclass(frozen=True)
class Place:
    """Where everything is."""

    scratch: Path
    environment: Mapping[str, str]

    @property
    def train(self) -> Path:
        """The prefix of the training corpus."""
        return self.scratch / "train"

    @property
    def tokenizer(self) -> Path:
        """The directory of the tokenizer."""
        return self.scratch / "tokenizer"


def main() -> None:
    args = arguments()
    rows, raw = [], {}
    for pairs in args.pairs:
        with tempfile.TemporaryDirectory(dir=args.scratch, prefix="streaming-") as scratch:
            place = Place(Path(scratch), {"MTCLI_CACHE": f"{scratch}/cache", "OMP_NUM_THREADS": "1"})
            row, measured = figures(pairs, place, args.steps)
        rows.append(row)
        raw[f"{pairs:,} pairs"] = measured
        print(row, flush=True)
    path = Report(
        name="streaming",
        title="Memory of training, by the size of the corpus",
        command=measure.command_line({"SCRATCH": args.scratch}),
        rows=rows,
        notes=notes(args.steps),
        versions=measure.versions("torch", "numpy", "sentencepiece"),
        raw=raw,
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[200_000, 2_000_000, 20_000_000])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument(
        "--scratch", type=Path, help="where there is room for the text [default: for temporary files]"
    )
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    return parser.parse_args()


def figures(pairs: int, place: Place, steps: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row of the table, and the measurements behind it."""
    free = shutil.disk_usage(place.scratch).free
    if free < pairs * BYTES:
        raise SystemExit(f"{pairs:,} pairs need {pairs * BYTES / 1e9:.1f} GB of disk, and {free / 1e9:.1f} are free")
    print(f"{pairs:,} pairs: writing", flush=True)
    write_corpus(place.train, pairs)
    write_corpus(place.scratch / "valid", VALIDATION_PAIRS)
    learn_tokenizer(place)
    run = place.scratch / "run"
    # The recipe is written when the corpus is read and the model built.
    trained, _ = watched(
        training(place, run, steps), place, lambda: "training" if (run / "recipe.toml").exists() else "reading"
    )
    walked, said = watched(walking(place), place, lambda: "an epoch")
    times = json.loads(said.rstrip().splitlines()[-1])
    kept = {name: thinned(moments) for name, moments in (("train", trained), ("an epoch", walked))}
    return row_of(pairs, [*trained, *walked], times), {"times": times, **kept}


def write_corpus(prefix: Path, pairs: int) -> None:
    """Sentences of words that mean nothing, and the same in other words: always the same, and longer or shorter."""
    generator = np.random.default_rng(0)
    books = {language: dictionary(generator) for language in LANGUAGES}
    with ExitStack() as files:
        texts = {
            language: files.enter_context(prefix.with_name(f"{prefix.name}.{language}").open("wb"))
            for language in LANGUAGES
        }
        for start in range(0, pairs, CHUNK):
            words = running_words(generator, CHUNK, min(CHUNK, pairs - start))
            for language, file in texts.items():
                file.write(books[language].chosen(words).tokens.tobytes())


def dictionary(generator: np.random.Generator) -> Sentences:
    """Letters of random words, each twice: with a space behind it and, after all of these, with a line's end."""
    lengths = generator.integers(*LETTERS, WORDS, endpoint=True)
    words = [bytes(generator.integers(ord("a"), ord("z"), length, endpoint=True).tolist()) for length in lengths]
    spelled = [word + end for end in (b" ", b"\n") for word in words]
    return Sentences.laid(np.frombuffer(b"".join(spelled), np.uint8), np.array([len(each) for each in spelled]))


def running_words(generator: np.random.Generator, drawn: int, used: int) -> Numbers:
    """Numbers of words in a `dictionary`, for the first `used` of `drawn` sentences; as 1 / rank (Zipf 1935)."""
    ends = np.cumsum(generator.integers(*LENGTHS, drawn, endpoint=True)) - 1
    words = ((WORDS + 1) ** generator.random(int(ends[-1]) + 1)).astype(np.int64) - 1
    words = np.minimum(words, WORDS - 1)  # rounding may lift a share near 1 over the last rank
    words[ends] += WORDS
    return words[: ends[used - 1] + 1]


def learn_tokenizer(place: Place) -> None:
    """Train a tokenizer on the first sentences."""
    pairs = open_corpora([str(place.train)], *LANGUAGES)[0].pairs(Account())
    tokenizers.train(islice(pairs, TOKENIZER_PAIRS), TokenizerSettings(vocab_size=VOCABULARY), place.tokenizer)


def training(place: Place, run: Path, steps: int) -> list[str]:
    """The command that trains."""
    words = [sys.executable, "-m", "mtcli", "train", "--train", str(place.train)]
    words += ["--valid", str(place.scratch / "valid"), "-s", LANGUAGES[0], "-t", LANGUAGES[1]]
    words += ["--tokenizer", str(place.tokenizer), "--preset", "tiny", "--device", "cpu", "--threads", "1"]
    words += ["--precision", "fp32", "--optimizer", "adamw"]
    return [*words, "--max-steps", str(steps), "--validate-every", str(steps), "-o", str(run)]


def walking(place: Place) -> list[str]:
    """The command that goes through an epoch."""
    script = str(Path(__file__).with_name("streaming_epoch.py"))
    return [sys.executable, script, "--train", str(place.train), "--tokenizer", str(place.tokenizer)]


def watched(command: Sequence[str], place: Place, phase: Callable[[], str]) -> tuple[list[Moment], str]:
    """Run a command, and look at its memory until its end; also what it said."""
    moments: list[Moment] = []
    with (place.scratch / "said").open("w+", encoding="utf-8") as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **place.environment}
        )
        while process.poll() is None:
            if held := memory(process.pid):
                moments.append(Moment(phase(), time.perf_counter() - started, *held))
            time.sleep(EVERY)
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed ({process.returncode}):\n{text[-2000:]}")
    return moments, text


def memory(process: int) -> tuple[float, float] | None:
    """MB that a process holds for itself alone, and of mapped files; None if it holds nothing any more."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    found = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    if "RssAnon" not in found:
        return None
    private, mapped = (int(found[name][0]) / 1024 for name in ("RssAnon", "RssFile"))
    return private, mapped


def thinned(moments: Sequence[Moment]) -> list[dict[str, Any]]:
    """Some of the moments, evenly spread."""
    return [vars(moment) for moment in moments[:: -(-len(moments) // KEPT)]]


def row_of(pairs: int, moments: Sequence[Moment], times: Mapping[str, float]) -> dict[str, Any]:
    """The peaks of each phase, and the times."""
    row: dict[str, Any] = {"pairs": f"{pairs:,}", "shards": f"{times['shards']:.0f}"}
    for phase in ("reading", "training", "an epoch"):
        chosen = [moment for moment in moments if moment.phase == phase]
        row[f"{phase}: private MB"] = max(moment.private for moment in chosen)
        row[f"{phase}: mapped MB"] = max(moment.mapped for moment in chosen)
    row["reading: pairs/s"] = pairs / duration(moments, "reading")
    row["an epoch: pairs/s"] = times["pairs"] / times["epoch"]
    row["first batch: s"] = times["first"]
    row["first batch after a stop far into an epoch: s"] = times["far"]
    return row


def duration(moments: Iterable[Moment], phase: str) -> float:
    """Seconds from the start to the end of a phase that comes first."""
    return max(moment.seconds for moment in moments if moment.phase == phase)


def notes(steps: int) -> list[str]:
    """How to read the table."""
    return [
        f"sentences of {LENGTHS[0]} to {LENGTHS[1]} words that mean nothing; a tokenizer of {VOCABULARY:,} pieces, "
        f"from the first {TOKENIZER_PAIRS:,} pairs; preset tiny, fp32, one thread, {steps} steps and a validation",
        f"the most that was seen, looking every {EVERY} s; private: anonymous memory (RssAnon); mapped: memory that "
        "files stand for, so that the system takes it back when it needs it (RssFile), PyTorch's libraries included",
        "around all that is looked at, the system maps what is next to it: the farther the parts of a shard lie from "
        "each other, in corpora of up to several shards, the more",
        "reading: `mtcli train` until its first step is near, the start of Python included; training: from then on",
        "an epoch: a process of its own that makes all batches of an epoch and has no model",
        "after a stop far into an epoch: the middle of the last shard of the fourth epoch",
    ]


if __name__ == "__main__":
    main()
