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


class Read(NamedTuple):
    """What has to be known of the text so far."""

    place: Place
    partial: bytes = b""
    """The bytes of a character that is not complete yet."""


Step = tuple[Read, frozenset[int]]
"""What is known after some more text, and the phrases that are now known to have ended before or in it."""


class Finder:
    """An automaton that reads tokens, and remembers the steps that it took."""

    def __init__(self, spelling: Spelling, phrases: Sequence[str]) -> None:
        self.spelling = spelling
        self.words = Words(phrases)
        self.start = Read(self.words.start())
        self.steps: dict[tuple[Read, int], Step] = {}

    def step(self, read: Read, token: int) -> Step:
        """Read one more token."""
        if (read, token) not in self.steps:
            self.steps[read, token] = self.read(read, self.spelling.texts[token])
        return self.steps[read, token]

    def walk(self, tokens: Iterable[int]) -> Step:
        """Read all of `tokens`, from the start."""
        read, found = self.start, frozenset[int]()
        for token in tokens:
            read, more = self.step(read, token)
            found |= more
        return read, found

    def read(self, read: Read, text: str | bytes) -> Step:
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

    def ending(self, read: Read) -> frozenset[int]:
        """The phrases found if the text ends here."""
        found = frozenset[int]()
        if read.partial:  # bytes that never become a character are shown as one that is none
            read, found = self.read(Read(read.place), REPLACEMENT)
        return found | self.words.ending(read.place)
