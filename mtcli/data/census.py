"""What is counted in one part of the data: training, validation or test."""

from __future__ import annotations

import unicodedata
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mtcli.data.corpus import Account, SentencePair
from mtcli.data.rows import Row
from mtcli.data.swapped import SideJudge

LONG_CHARACTERS = 1000
"""A side beyond this is likely to be more than a sentence."""

OUTLIER = 3
"""A length ratio beyond this many times the median, or below the median divided by it, is an outlier."""

SHARES = (0, 0.01, 0.25, 0.5, 0.75, 0.99, 1)
LOST_SHOWN = 20
BLOCK = 1024


class TokenEncoder(Protocol):
    """What is needed of a tokenizer."""

    def encode_source(self, lines: Sequence[str]) -> list[list[int]]:
        """Token ids of each line."""

    def encode_target(self, lines: Sequence[str]) -> list[list[int]]:
        """Token ids of each line."""


@dataclass
class TokenCount:
    """Tokens of one side."""

    tokens: int = 0
    words: int = 0
    characters: int = 0
    longest: int = 0

    def add(self, line: str, tokens: int) -> None:
        """Count one sentence."""
        self.tokens += tokens
        self.words += len(line.split())
        self.characters += len(line)
        self.longest = max(self.longest, tokens)

    def as_json(self) -> dict[str, Any]:
        """The counts and their ratios; a word is what white space separates, whatever the language."""
        return {
            "tokens": self.tokens,
            "longest": self.longest,
            "per_word": round(self.tokens / max(self.words, 1), 3),
            "per_character": round(self.tokens / max(self.characters, 1), 3),
        }


@dataclass
class Census:
    """Counts over sentence pairs in about 20 bytes per pair: hashes and ratios are stored, sentences are not."""

    tokenizer: TokenEncoder | None = None
    max_length: int = 256
    accounts: dict[str, Account] = field(default_factory=dict)
    # Python's own hash has 64 bits: among 100 million sentences a collision has a probability of 3 in 10,000.
    sources: array[int] = field(default_factory=lambda: array("q"))
    pairs: array[int] = field(default_factory=lambda: array("q"))
    ratios: array[float] = field(default_factory=lambda: array("f"))
    copies: int = 0
    long: int = 0
    swapped: int = 0
    too_long: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    source_tokens: TokenCount = field(default_factory=TokenCount)
    target_tokens: TokenCount = field(default_factory=TokenCount)
    _waiting: list[SentencePair] = field(default_factory=list, init=False)

    def add(self, row: Row, pair: SentencePair, judge: SideJudge) -> None:
        """Count one pair, as written and normalised."""
        self.sources.append(hash(pair.source))
        self.pairs.append(hash((pair.source, pair.target)))
        self.ratios.append(len(pair.target) / len(pair.source))
        self.copies += pair.source == pair.target
        self.long += max(len(pair.source), len(pair.target)) > LONG_CHARACTERS
        self.swapped += judge.swapped(pair)
        for raw, text in ((row.source, pair.source), (row.target, pair.target)):
            if raw != text:
                self.lost += Counter(raw) - Counter(text)
        if self.tokenizer is not None:
            self._waiting.append(pair)
            if len(self._waiting) == BLOCK:
                self.finish()

    def finish(self) -> None:
        """Count the tokens of the pairs that wait for a block to fill."""
        if self.tokenizer is None or not self._waiting:
            return
        sources = self.tokenizer.encode_source([pair.source for pair in self._waiting])
        targets = self.tokenizer.encode_target([pair.target for pair in self._waiting])
        for pair, source, target in zip(self._waiting, sources, targets, strict=True):
            self.source_tokens.add(pair.source, len(source))
            self.target_tokens.add(pair.target, len(target))
            self.too_long += max(len(source), len(target)) > self.max_length
        self._waiting = []

    @property
    def kept(self) -> int:
        """Pairs counted here."""
        return len(self.pairs)

    @property
    def read(self) -> int:
        """Pairs read, those dropped included."""
        return sum(account.read for account in self.accounts.values())

    def repeats(self) -> tuple[int, int]:
        """Pairs, and sources, that stand earlier already."""
        return self.kept - _distinct(self.pairs), self.kept - _distinct(self.sources)

    def shared_with(self, train: Census) -> tuple[int, int]:
        """Sources, and whole pairs, of this part that `train` has too."""
        import numpy as np

        mine_and_theirs = ((self.sources, train.sources), (self.pairs, train.pairs))
        sources, pairs = (int(np.isin(*both).sum()) for both in mine_and_theirs)
        return sources, pairs

    def ratio_outliers(self) -> int:
        """Pairs whose length ratio is more than `OUTLIER` times off the median."""
        import numpy as np

        ratios = np.asarray(self.ratios)
        median = float(np.median(ratios)) if self.kept else 1.0
        return int(((ratios > OUTLIER * median) | (ratios * OUTLIER < median)).sum())

    def as_json(self) -> dict[str, Any]:
        """All counts in plain values."""
        repeated_pairs, repeated_sources = self.repeats()
        counts: dict[str, Any] = {
            "corpora": {name: account.as_json() for name, account in self.accounts.items()},
            "read": self.read,
            "kept": self.kept,
            "repeated_pairs": repeated_pairs,
            "repeated_sources": repeated_sources,
            "copies": self.copies,
            "swapped": self.swapped,
            "long": self.long,
            "length_ratio": {"quantiles": _quantiles(self.ratios), "outliers": self.ratio_outliers()},
            "lost_characters": _described(self.lost),
        }
        if self.tokenizer is not None:
            sides = {"source": self.source_tokens.as_json(), "target": self.target_tokens.as_json()}
            counts["tokens"] = {**sides, "max_length": self.max_length, "too_long": self.too_long}
        return counts


def _distinct(hashes: array[int]) -> int:
    import numpy as np

    return len(np.unique(np.asarray(hashes)))


def _quantiles(ratios: array[float]) -> dict[str, float]:
    """Characters of the target for each of the source, at several shares of all pairs."""
    import numpy as np

    if not ratios:
        return {}
    values = np.quantile(np.asarray(ratios), SHARES)
    return {f"{share:.0%}": round(float(value), 3) for share, value in zip(SHARES, values, strict=True)}


def _described(lost: Counter[str]) -> list[dict[str, Any]]:
    """The characters that are rarer after normalisation, white space left out, the most frequent ones first."""
    shown = [(character, count) for character, count in lost.most_common() if not character.isspace()]
    return [
        {"character": f"U+{ord(character):04X}", "name": _name(character), "count": count}
        for character, count in shown[:LOST_SHOWN]
    ]


def _name(character: str) -> str:
    kinds = {"Cc": "control character", "Cs": "lone surrogate", "Co": "private use", "Cn": "not assigned"}
    return unicodedata.name(character, kinds.get(unicodedata.category(character), ""))
