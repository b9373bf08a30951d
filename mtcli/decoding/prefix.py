"""A translation whose beginning is given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from mtcli.decoding.spelling import Spelling
from mtcli.layout import EOS


class Prefix:
    """A `Rule` that forces some tokens, and after them some text in whatever tokens the model likes.

    The text is the last word of what is given, which may go on: to force the tokens of "Hun" would forbid the one
    token "Hund", and let the model continue with tokens that it has never seen in this place.
    """

    def __init__(self, spelling: Spelling, tokens: Sequence[int], rest: bytes) -> None:
        """Force `tokens`, then `rest`, a text that tokens of `spelling` can spell."""
        self.spelling = spelling
        self.tokens = tuple(tokens)
        self.rest = rest
        self.ways = ways(spelling, rest)

    def __call__(self, tokens: Sequence[int], last: bool) -> Bool[Tensor, " v"] | None:
        """All tokens but those that may follow; None once the prefix is over."""
        place = self.place(tokens)
        if place >= len(self.ways):
            return None
        refused = torch.ones(len(self.spelling), dtype=torch.bool)
        if place < 0:
            refused[self.tokens[place]] = False
        else:
            refused[self.ways[place]] = False
            refused[EOS] = bool(self.rest.strip(b" "))
        return refused

    def place(self, tokens: Sequence[int]) -> int:
        """How many bytes of the rest have been written; minus the number of forced tokens that are missing."""
        missing = len(self.tokens) - len(tokens)
        return -missing if missing > 0 else len(self.spelling.written(tokens[len(self.tokens) :]))


def ways(spelling: Spelling, rest: bytes) -> list[list[int]]:
    """The tokens that can follow at each byte of `rest` so that it can be completed; a last one may be longer."""
    found: list[list[int]] = [[] for _ in rest]
    for place in reversed(range(len(rest))):
        left = rest[place:]
        for token in spelling.by_first_byte.get(left[0], []):
            text = spelling.utf8[token]
            if spelling.texts[token] == b" ":
                continue  # unlike that of a piece, the space of a byte would stay at the start of a translation
            if text.startswith(left) or (left.startswith(text) and found[place + len(text)]):
                found[place].append(token)
    return found
