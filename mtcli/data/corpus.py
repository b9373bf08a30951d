"""Sentence pairs from a named corpus, whatever its format, with an account of every pair that was dropped."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mtcli.data.account import Account, Dropped
from mtcli.data.huggingface import PREFIX, HuggingFace
from mtcli.data.location import SUFFIXES, require_file, two_files
from mtcli.data.normalize import normalize
from mtcli.data.parallel import ParallelFiles
from mtcli.data.rows import Place, Reader, Row, Unreadable
from mtcli.data.table import JsonLines, TabSeparated
from mtcli.errors import DataError, UsageError

__all__ = ["Account", "Corpus", "Dropped", "Place", "SentencePair", "open_corpora"]


@dataclass(frozen=True, slots=True)
class SentencePair:
    """A sentence and its translation, both normalised and not empty; `place` says where they were read."""

    source: str
    target: str
    place: Place | None = field(default=None, compare=False)


def open_corpora(names: Sequence[str], source_lang: str, target_lang: str, strict: bool = False) -> list[Corpus]:
    """Find every corpus in `names`, before any is read.

    A name is a prefix (`data/train` for `data/train.en` and `data/train.de`), a `.tsv` or `.jsonl` file, any of
    these compressed (`.gz`, `.bz2`, `.xz`, `.zst`), or `hf:NAME[:CONFIG][@SPLIT]`. With `strict`, a line that
    cannot be read is an error instead of being dropped. Raises `DataError` for a corpus that is missing, or in two
    files of different lengths, and `UsageError` for names that say too little.
    """
    languages = source_lang, target_lang
    return [Corpus(name, _reader(name, languages), languages, strict) for name in names]


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs that can be read again and again, in the same order."""

    name: str
    reader: Reader
    languages: tuple[str, str]
    strict: bool = False

    def pairs(self, account: Account) -> Iterator[SentencePair]:
        """The normalised pairs, streaming; `account` counts those that were read so far.

        Raises `DataError` for damaged files, if no pair is kept, and in strict mode for a line that cannot be read.
        """
        return (pair for _, pair in self.pairs_as_written(account))

    def pairs_as_written(self, account: Account) -> Iterator[tuple[Row, SentencePair]]:
        """As `pairs`, each with the text before normalisation."""
        kept, dropped_before = 0, account.dropped.copy()
        first: Unreadable | None = None
        for row in self.reader.rows():
            pair = self._accept(row, account)
            if pair is not None and isinstance(row, Row):
                kept += 1
                yield row, pair
            elif first is None and isinstance(row, Unreadable):
                first = row
        if not kept:
            raise self._nothing(account.dropped - dropped_before, first)

    def fingerprint(self) -> str:
        """SHA-256 of all that decides which pairs are read: the content, its format, the languages, `strict`."""
        format_name = type(self.reader).__name__
        facts = [format_name, *self.languages, self.strict, self.reader.digest()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _accept(self, row: Row | Unreadable, account: Account) -> SentencePair | None:
        if isinstance(row, Unreadable):
            if self.strict:
                raise DataError(str(row), "without strict reading this line would be dropped and counted")
            account.drop(row.reason, row.place)
            return None
        source, target = normalize(row.source), normalize(row.target)
        if not source or not target:
            account.drop("one side empty" if source or target else "empty", row.place)
            return None
        account.keep()
        return SentencePair(source, target, row.place)

    def _nothing(self, dropped: Counter[str], first: Unreadable | None) -> DataError:
        if not dropped:
            return DataError(f"the corpus {self.name} is empty")
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.most_common())
        details = [] if first is None else [str(first)]
        return DataError(
            f"the corpus {self.name} has no sentence pair in {dropped.total():,} lines ({reasons})", *details
        )


def _reader(name: str, languages: tuple[str, str]) -> Reader:
    """The reader for the format that a corpus' name tells."""
    if name.startswith(PREFIX):
        return HuggingFace.open(name, languages)
    plain = name
    for suffix in SUFFIXES:
        plain = plain.removesuffix(suffix) if suffix and plain == name else plain
    if plain.endswith(".tsv"):
        return TabSeparated(require_file(name))
    if plain.endswith(".jsonl"):
        return JsonLines(require_file(name), languages)
    if not all(languages):
        raise UsageError(
            f"the corpus {name!r} needs languages", "name them with -s and -t, as in the names of its files"
        )
    if languages[0] == languages[1]:
        raise UsageError(f"source and target of the corpus {name!r} would be the same file, {name}.{languages[0]}")
    return ParallelFiles.open(*two_files(name, languages))
