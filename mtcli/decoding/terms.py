"""A terminology: which words of the source ask for which words in the translation."""

from __future__ import annotations

from collections.abc import Mapping

from mtcli.decoding.words import Words


class Terms:
    """Source terms, each with the target term that a translation must contain."""

    def __init__(self, entries: Mapping[str, str], ignore_case: bool = False) -> None:
        """Take normalised terms, none empty."""
        self.ignore_case = ignore_case
        self.wanted = list(entries.values())
        self.words = Words([self.folded(source) for source in entries])

    def targets(self, line: str) -> list[str]:
        """What the translation of a normalised line must contain, each once.

        A source term counts where it stands as whole words; of terms that overlap the longest counts, of equally
        long ones the first.
        """
        taken: list[tuple[int, int]] = []
        chosen: dict[str, None] = {}
        found = self.words.find(self.folded(line))
        for start, end, phrase in sorted(found, key=lambda place: (place[0] - place[1], place[0])):
            if all(end <= other[0] or other[1] <= start for other in taken):
                taken.append((start, end))
                chosen[self.wanted[phrase]] = None
        return list(chosen)

    def folded(self, text: str) -> str:
        """The text as it is compared."""
        return text.lower() if self.ignore_case else text
