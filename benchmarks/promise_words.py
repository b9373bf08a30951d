"""Words to forbid, to require and to begin with, drawn from text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

from promise_subject import Subject

ROOM = 20
"""Tokens of required words for which every translation has room, however short its source is."""


def words_of(text: str) -> list[str]:
    """The words of a text, each once, in their order."""
    return list(dict.fromkeys(re.findall(r"\w+", text)))


def words_in(texts: Iterable[str]) -> Counter[str]:
    """How many texts have each word."""
    return Counter(word for text in texts for word in words_of(text))


def common(counts: Counter[str], count: int) -> list[str]:
    """The most frequent ones."""
    return [word for word, _ in counts.most_common(count)]


def sampled(random: Random, words: Sequence[str], count: int) -> list[str]:
    """Some of the words, as many as there are."""
    return random.sample(words, min(count, len(words)))


def fitting(subject: Subject, words: list[str]) -> list[str]:
    """As many of the words, from the first on, as every translation has room for."""
    sizes = [len(tokens) for tokens in subject.tokenizer.encode_target(words)]
    return [word for number, word in enumerate(words) if sum(sizes[: number + 1]) < ROOM]


def prefix(random: Random, reference: str) -> str:
    """The first words of a reference: the last one cut, or whole, or with the space that follows it."""
    start = " ".join(reference.split(" ")[: random.randint(1, 4)])
    match random.randrange(3):
        case 0:
            return start[: -random.randrange(1, 3)] or start
        case 1:
            return start
    return f"{start} "
