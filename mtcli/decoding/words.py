"""Whole words in text that is read character by character.

A phrase is found where its first character does not belong to the word before it, nor its last one to the word after
it. A word is a run of letters, digits, underscores and the marks and joiners among them. Scripts that are written
without spaces have no such runs: there every letter stands for itself, and a phrase is found wherever it is written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

Kind = Literal["blank", "letter", "mark", "other"]

UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan; Myanmar; Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # Han
)
"""Characters of scripts without spaces between words."""

JOINERS = "\u200c\u200d"
"""Zero-width characters within words of Persian and of Indic languages."""


class Place(NamedTuple):
    """How far a text has been read."""

    nodes: frozenset[int]
    """The phrases begun here, as nodes of the tree of all phrases."""
    last: Kind
    """What the text ends with: blank, letter or other; marks count as what they stand on."""


class Words:
    """A set of phrases to look for; case matters, and one space stands for any white space."""

    def __init__(self, phrases: Sequence[str]) -> None:
        """Take distinct phrases without white space at the ends."""
        self.lengths = [len(phrase) for phrase in phrases]
        self.children: list[dict[str, int]] = [{}]
        self.complete: dict[int, int] = {}
        for number, phrase in enumerate(phrases):
            node = 0
            for character in phrase:
                if character not in self.children[node]:
                    self.children[node][character] = len(self.children)
                    self.children.append({})
                node = self.children[node][character]
            self.complete[node] = number

    def start(self) -> Place:
        """The place before the first character."""
        return Place(frozenset(), "blank")

    def read(self, place: Place, character: str) -> tuple[Place, frozenset[int]]:
        """The place after one more character, and the phrases that are now known to have ended before it."""
        kind = kind_of(character)
        if kind == "blank":
            if place.last == "blank":
                return place, frozenset()
            character = " "
        joined = (kind == "letter" and place.last == "letter") or (kind == "mark" and place.last != "blank")
        begun = place.nodes if joined else place.nodes | {0}
        nodes = frozenset(self.children[node][character] for node in begun if character in self.children[node])
        if kind == "mark":
            kind = place.last if joined else "letter"
        return Place(nodes, kind), frozenset() if joined else self.ending(place)

    def ending(self, place: Place) -> frozenset[int]:
        """The phrases found if the text, or at least its last word, ends here."""
        return frozenset(self.complete[node] for node in place.nodes if node in self.complete)

    def find(self, text: str) -> list[tuple[int, int, int]]:
        """Every occurrence in normalised text, overlapping ones too: where it starts and ends, and which phrase."""
        place, occurrences = self.start(), []
        for end, character in enumerate(text):
            place, found = self.read(place, character)
            occurrences += [(end - self.lengths[phrase], end, phrase) for phrase in sorted(found)]
        last = sorted(self.ending(place))
        return occurrences + [(len(text) - self.lengths[phrase], len(text), phrase) for phrase in last]


@cache
def kind_of(character: str) -> Kind:
    """What a character is to the words around it."""
    category = unicodedata.category(character)
    if character.isspace() or category == "Cc":
        return "blank"
    if category[0] == "M" or character in JOINERS:
        return "mark"
    if category[0] in "LN" or character == "_":
        return "other" if UNSPACED.match(character) else "letter"
    return "other"
