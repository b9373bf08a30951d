"""Whole words in the text that tokens spell, however the words are cut into tokens."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mtcli.decoding.spelling import Spelling
from mtcli.decoding.words import Place, Words

UTF8 = getincrementaldecoder("utf-8")
REPLACEMENT = "\ufffd"
"""What the text shows for bytes that are no character."""

Step = tuple[int, frozenset[int]]
"""A state, and the phrases found on the way to it."""


class Read(NamedTuple):
    """What has to be known of the text so far."""

    place: Place
    partial: bytes = b""
    """The bytes of a character that is not complete yet."""


class Finder:
    """An automaton that reads tokens; its states are numbered as they are met, and 0 is the start.

    The steps that were taken are remembered: their number is bounded by the phrases and the vocabulary.
    """

    def __init__(self, spelling: Spelling, phrases: Sequence[str]) -> None:
        self.spelling = spelling
        self.words = Words(phrases)
        self.reads: list[Read] = []
        self.numbers: dict[Read, int] = {}
        self.steps: list[dict[int, Step]] = []
        self.number(Read(self.words.start()))

    def number(self, read: Read) -> int:
        """The number of a state."""
        if read not in self.numbers:
            self.numbers[read] = len(self.reads)
            self.reads.append(read)
            self.steps.append({})
        return self.numbers[read]

    def step(self, state: int, token: int) -> Step:
        """The state after one more token, and the phrases that are now known to have ended before or in it."""
        taken = self.steps[state]
        if token not in taken:
            read, found = self.read(self.reads[state], self.spelling.texts[token])
            taken[token] = self.number(read), found
        return taken[token]

    def walk(self, tokens: Iterable[int]) -> Step:
        """The state after all of `tokens`, and every phrase found on the way."""
        state, found = 0, frozenset[int]()
        for token in tokens:
            state, more = self.step(state, token)
            found |= more
        return state, found

    def read(self, read: Read, text: str | bytes) -> tuple[Read, frozenset[int]]:
        """Read characters, or a byte."""
        partial = b""
        if isinstance(text, bytes):
            decoder = UTF8("replace")
            text = decoder.decode(read.partial + text)
            partial = decoder.getstate()[0]
        elif read.partial:
            text = REPLACEMENT + text
        place, found = read.place, frozenset[int]()
        for character in text:
            place, more = self.words.read(place, character)
            found |= more
        return Read(place, partial), found

    def ending(self, state: int) -> frozenset[int]:
        """The phrases found if the text ends here."""
        read, found = self.reads[state], frozenset[int]()
        if read.partial:  # bytes that never become a character are shown as one that is none
            read, found = self.read(Read(read.place), REPLACEMENT)
        return found | self.words.ending(read.place)
