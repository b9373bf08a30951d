"""Words that must be in one translation: how far a hypothesis has come with them, and what brings it further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtcli.decoding.finder import Finder, Read
from mtcli.decoding.spelling import Spelling

Segmentation = tuple[int, ...]


@dataclass(frozen=True)
class Phrase:
    """A word, or several in a row, and the tokens that are offered to the search to write it."""

    text: str
    segmentations: tuple[Segmentation, ...]
    """The first one decides how much the phrase counts."""

    def begun(self, tokens: Sequence[int]) -> tuple[int, set[int]]:
        """How many of the phrase's tokens stand at the end of `tokens`, and what would begin it or go on with it."""
        most, following = 0, set()
        for segmentation in self.segmentations:
            following.add(segmentation[0])
            for length in range(1, min(len(segmentation), len(tokens)) + 1):
                if tuple(tokens[-length:]) == segmentation[:length]:
                    following.update(segmentation[length : length + 1])
                    missing = len(segmentation) - length
                    most = max(most, len(self.segmentations[0]) - missing)
        return most, following


class Required:
    """Phrases that the translation must contain as whole words, in whatever tokens."""

    def __init__(self, spelling: Spelling, phrases: Sequence[Phrase]) -> None:
        self.phrases = phrases
        self.finder = Finder(spelling, [phrase.text for phrase in phrases])

    def progress(self, tokens: Sequence[int]) -> Progress:
        """That of a hypothesis with these tokens."""
        return Progress(self, tuple(tokens), *self.finder.walk(tokens))


@dataclass(frozen=True)
class Progress:
    """How far a hypothesis has come."""

    required: Required
    tokens: tuple[int, ...]
    read: Read
    met: frozenset[int]
    """The phrases known to be in the text as whole words."""

    def after(self, token: int) -> Progress:
        """The progress with one token more."""
        read, found = self.required.finder.step(self.read, token)
        return Progress(self.required, (*self.tokens, token), read, self.met | found)

    @property
    def ending(self) -> frozenset[int]:
        """The phrases at the end of the text: whole words, unless a letter follows."""
        return self.required.finder.ending(self.read)

    @property
    def satisfied(self) -> bool:
        """Whether everything is in the text if it ends here."""
        return len(self.met | self.ending) == len(self.required.phrases)

    @property
    def hanging(self) -> bool:
        """Whether everything is in the text, but not all of it any more if it goes on with a letter."""
        return self.satisfied and len(self.met) < len(self.required.phrases)

    @property
    def bank(self) -> int:
        """How many required tokens have been met: those of the phrases in the text, and of the most advanced other.

        That one counts whole when it is all written, though a letter may still follow.
        """
        sizes = [len(phrase.segmentations[0]) for phrase in self.required.phrases]
        current = [
            sizes[number] if number in self.ending else phrase.begun(self.tokens)[0]
            for number, phrase in enumerate(self.required.phrases)
            if number not in self.met
        ]
        return sum(sizes[number] for number in self.met) + max(current, default=0)

    @property
    def following(self) -> set[int]:
        """The tokens that begin a phrase which is missing, or go on with it."""
        done = self.met | self.ending
        missing = [phrase for number, phrase in enumerate(self.required.phrases) if number not in done]
        return {token for phrase in missing for token in phrase.begun(self.tokens)[1]}
