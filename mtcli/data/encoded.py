"""A corpus as token ids in memory-mapped files, cached by its content and its tokenizer's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtcli.data import columns
from mtcli.data.account import Account, Dropped
from mtcli.data.corpus import Corpus, SentencePair
from mtcli.data.rows import Place
from mtcli.data.tokenizer import Tokenizer
from mtcli.errors import DataError

FORMAT = 2
SIDES = ("source", "target")
# Pairs and characters tokenised at once: they keep SentencePiece's threads busy, and need some hundred megabytes.
CHUNK_PAIRS = 50_000
CHUNK_CHARACTERS = 8_000_000
# Lengths looked at together where all are.
CHUNK_LENGTHS = 1 << 18

Numbers = npt.NDArray[np.int64]
Tokens = npt.NDArray[Any]


@dataclass(frozen=True)
class Sentences:
    """Sentences of one language laid end to end: sentence `i` is `tokens[offsets[i]:offsets[i + 1]]`."""

    tokens: Tokens
    offsets: Numbers

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Sentences:
        """Lay token lists end to end."""
        return cls.laid(*flat(rows, np.dtype(np.uint32)))

    @classmethod
    def laid(cls, tokens: Tokens, lengths: npt.NDArray[Any]) -> Sentences:
        """Sentences that already lie end to end."""
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(tokens, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Tokens:
        tokens: Tokens = self.tokens[self.offsets[index] : self.offsets[index + 1]]
        return tokens

    @property
    def lengths(self) -> Numbers:
        """Tokens of each sentence; of a whole corpus these take much memory."""
        return np.diff(self.offsets)

    def lengths_of(self, rows: Numbers) -> Numbers:
        """Tokens of some of the sentences."""
        return self.offsets[rows + 1] - self.offsets[rows]

    @property
    def longest(self) -> int:
        """Tokens of the longest sentence; what is read of a mapped file for it is given back."""
        found = 0
        for start in range(0, len(self), CHUNK_LENGTHS):
            found = max(found, int(np.diff(self.offsets[start : start + CHUNK_LENGTHS + 1]).max()))
            columns.release(self.offsets)
        return found

    def chosen(self, rows: Numbers) -> Sentences:
        """Some of the sentences, laid end to end."""
        lengths = self.lengths_of(rows)
        # Where each token stands: its sentence's start, plus how far it is into its row.
        begun = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(self.offsets[rows] - begun, lengths)
        return Sentences.laid(self.tokens[places], lengths)


@dataclass(frozen=True)
class Encoded:
    """Sentence pairs as token ids, without BOS and EOS."""

    sources: Sentences
    targets: Sentences

    @classmethod
    def of(cls, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Encoded:
        """A corpus in memory, from token lists."""
        return cls(Sentences.of(sources), Sentences.of(targets))

    def __len__(self) -> int:
        return len(self.sources)

    def source(self, index: int) -> Tokens:
        """The source of a pair."""
        return self.sources[index]

    def target(self, index: int) -> Tokens:
        """The target of a pair."""
        return self.targets[index]

    @property
    def source_tokens(self) -> int:
        """Source tokens of all pairs."""
        return int(self.sources.offsets[-1])

    @property
    def target_tokens(self) -> int:
        """Target tokens of all pairs."""
        return int(self.targets.offsets[-1])

    @property
    def longest(self) -> int:
        """Tokens of the longest side of all."""
        return max(self.sources.longest, self.targets.longest)

    def release(self) -> None:
        """Give back the memory of what was read of mapped files; who looks again reads them again."""
        for side in (self.sources, self.targets):
            columns.release(side.tokens)
            columns.release(side.offsets)


def encode(
    corpora: Sequence[Corpus], tokenizer: Tokenizer, max_length: int, cache: Path, account: Account
) -> Encoded:
    """The pairs of all corpora as tokens, from `cache` if it has them; `account` gets the same numbers either way.

    Pairs with a side of more than `max_length` tokens are dropped as "too long", with a side of none as "empty".
    Raises `DataError` if no pair is left, `ResourceError` if the cache cannot be written.
    """
    # Names too, because the account tells where the dropped pairs stand.
    identity = [[corpus.name, corpus.fingerprint()] for corpus in corpora]
    facts = [FORMAT, identity, tokenizer.digest, max_length]
    entry = cache / hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    if (stored := columns.read(entry)) is not None:
        _add(account, stored.facts["account"])
        return _encoded(stored)
    before = deepcopy(account)
    with columns.writing(entry) as writer:
        for side in SIDES:
            writer.append(f"{side}.offsets", np.zeros(1, np.int64))
        for pairs in _chunks(pair for corpus in corpora for pair in corpus.pairs(account)):
            _write(pairs, tokenizer, max_length, writer, account)
        difference = _difference(account, before)
        if not difference["kept"]:
            raise DataError("no sentence pair is left to learn from", str(account))
        stored = writer.finish({"account": difference})
    return _encoded(stored)


def flat(rows: Sequence[Sequence[int]], dtype: np.dtype[Any]) -> tuple[Tokens, Numbers]:
    """Token lists laid end to end, and their lengths."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return np.fromiter(chain.from_iterable(rows), dtype, int(lengths.sum())), lengths


def _encoded(stored: columns.Columns) -> Encoded:
    arrays = stored.arrays
    source, target = (Sentences(arrays[f"{side}.tokens"], arrays[f"{side}.offsets"]) for side in SIDES)
    return Encoded(source, target)


def _chunks(pairs: Iterable[SentencePair]) -> Iterator[list[SentencePair]]:
    chunk: list[SentencePair] = []
    characters = 0
    for pair in pairs:
        chunk.append(pair)
        characters += len(pair.source) + len(pair.target)
        if len(chunk) == CHUNK_PAIRS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _write(
    pairs: list[SentencePair], tokenizer: Tokenizer, max_length: int, writer: columns.Writer, account: Account
) -> None:
    """Append those of the pairs that are short enough."""
    sides = {
        "source": (tokenizer.source_size, tokenizer.encode_source([pair.source for pair in pairs])),
        "target": (tokenizer.target_size, tokenizer.encode_target([pair.target for pair in pairs])),
    }
    arrays = {side: flat(rows, np.min_scalar_type(size - 1)) for side, (size, rows) in sides.items()}
    shortest, longest = (choose(arrays["source"][1], arrays["target"][1]) for choose in (np.minimum, np.maximum))
    keep = (shortest > 0) & (longest <= max_length)
    for index in np.flatnonzero(~keep):
        account.withdraw("too long" if longest[index] > max_length else "empty", pairs[index].place)
    for side, (tokens, lengths) in arrays.items():
        writer.append(f"{side}.offsets", writer.length(f"{side}.tokens") + np.cumsum(lengths[keep]))
        writer.append(f"{side}.tokens", tokens[np.repeat(keep, lengths)])


def _difference(account: Account, before: Account) -> dict[str, Any]:
    """What one corpus added to an account, in plain values."""
    places = [(dropped.reason, dropped.place) for dropped in account.examples[len(before.examples) :]]
    return {
        "read": account.read - before.read,
        "kept": account.kept - before.kept,
        "dropped": account.dropped - before.dropped,
        "examples": [[reason, place and [place.file, place.line, place.byte]] for reason, place in places],
    }


def _add(account: Account, difference: dict[str, Any]) -> None:
    """The inverse of `_difference`."""
    account.read += difference["read"]
    account.kept += difference["kept"]
    account.dropped.update(difference["dropped"])
    account.examples += [Dropped(reason, place and Place(*place)) for reason, place in difference["examples"]]
