"""How fast does a corpus become token ids, beside SentencePiece alone on the same lines?

    CORPORA=DIR python benchmarks/reading.py [--corpus tatoeba-en-de/train] [--repeat 5]

All rates are sentences (both sides counted) per second of one core. mtcli's encoding uses threads, so its rate is
by processor time, all threads added up; everything else runs in one thread, where it hardly differs from wall time.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import measure
import sentencepiece
from measure import Figure, Report, Sample, Stopwatch, figure

from mtcli.data import tokenizer as tokenizers
from mtcli.data.corpus import Account, SentencePair, open_corpora
from mtcli.data.encoded import encode
from mtcli.data.tokenizer import Tokenizer
from mtcli.settings import TokenizerSettings

TRAINING_PAIRS = 20_000
"""Pairs that the tokenizer is trained on: enough for its speed, and quickly done."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpora", type=Path, help="[default: $CORPORA]")
    parser.add_argument("--corpus", default="tatoeba-en-de/train", help="prefix below CORPORA")
    parser.add_argument("--languages", nargs=2, default=["en", "de"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    args = parser.parse_args()
    folder = measure.corpora(args.corpora)
    prefix = folder / args.corpus if folder else measure.ROOT / "data" / "sample" / "train"
    with tempfile.TemporaryDirectory() as scratch:
        subject = Subject(prefix, args.languages, Path(scratch))
        results: dict[str, list[Stopwatch]] = {name: [] for name in subject.ways()}
        for _ in range(args.repeat):  # in turn, so that a slow spell of the machine hits all alike
            for name, way in subject.ways().items():
                with Stopwatch() as watch:
                    way()
                results[name].append(watch)
                print(f"{name}: {watch.seconds:.2f} s, {watch.processor:.2f} s of processor time", flush=True)
    path = Report(
        name="reading",
        title=f"Reading and encoding {prefix.parent.name}/{prefix.name}, {subject.sentences:,} sentences",
        command=measure.command_line({"CORPORA": folder}),
        rows=rows(results, subject.sentences),
        notes=notes(args.repeat),
        versions=measure.versions("sentencepiece", "numpy"),
        raw={name: [vars(watch) for watch in watches] for name, watches in results.items()},
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


class Subject:
    """A corpus, and the ways to bring it into memory."""

    def __init__(self, prefix: Path, languages: list[str], scratch: Path) -> None:
        self.corpora = open_corpora([str(prefix)], *languages)
        self.files = [prefix.with_name(f"{prefix.name}.{language}") for language in languages]
        self.scratch = scratch
        pairs = list(self.pairs())
        self.sentences = 2 * len(pairs)
        trained = tokenizers.train(iter(pairs[:TRAINING_PAIRS]), TokenizerSettings(), scratch / "tokenizer")
        self.tokenizer: Tokenizer = trained.tokenizer
        model = str(scratch / "tokenizer" / "tokenizer.model")
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=model)
        self.read_cached()  # fills the cache
        self.count = 0

    def ways(self) -> dict[str, Callable[[], Any]]:
        """What is measured, SentencePiece's own first."""
        return {
            "SentencePiece, the whole file at once": self.at_once,
            "SentencePiece, line by line": self.line_by_line,
            "mtcli: read and normalise": lambda: sum(1 for _ in self.pairs()),
            "mtcli: read, normalise, encode, store": self.read_new,
            "mtcli: the same, from its cache": self.read_cached,
        }

    def pairs(self) -> Iterator[SentencePair]:
        """The normalised pairs."""
        return self.corpora[0].pairs(Account())

    def at_once(self) -> None:
        """What `spm_encode` does, without writing."""
        for file in self.files:
            self.pieces.encode(file.read_text(encoding="utf-8").split("\n"), num_threads=1)

    def line_by_line(self) -> None:
        """The same as most scripts have it."""
        for file in self.files:
            with file.open(encoding="utf-8", newline="\n") as lines:
                for line in lines:
                    self.pieces.encode(line.rstrip("\n"))

    def read_new(self) -> None:
        """As the first start of a training run."""
        self.count += 1
        encode(self.corpora, self.tokenizer, 256, self.scratch / f"cache-{self.count}", Account())

    def read_cached(self) -> None:
        """As every later start."""
        encode(self.corpora, self.tokenizer, 256, self.scratch / "cache", Account())


def rows(results: dict[str, list[Stopwatch]], sentences: int) -> list[dict[str, Any]]:
    """One row for each way; ratios are to SentencePiece on the whole file."""
    per_core: dict[str, Figure] = {}
    for name, watches in results.items():
        per_core[name] = figure([Sample(sentences / watch.processor, watch.other) for watch in watches])
    base = per_core["SentencePiece, the whole file at once"].median
    return [
        {
            "what": name,
            "sentences/s of one core": found,
            "ratio": f"{found.median / base:.2f}",
            "sentences/s of the wall": figure([watch.sample(sentences) for watch in results[name]]),
        }
        for name, found in per_core.items()
    ]


def notes(repeat: int) -> list[str]:
    """How to read the table."""
    return [
        f"median (lowest-highest) of {repeat} times, all ways in turn; times in which other processes used over "
        f"{measure.QUIET} cores do not count, unless fewer than 3 are left: then all do, and a ! says so",
        f"one unigram tokenizer of 8,000 pieces, trained on the first {TRAINING_PAIRS:,} pairs, for all",
        "of one core: by processor time, all threads added up; of the wall: with mtcli's four encoding threads",
    ]


if __name__ == "__main__":
    main()
