"""Words that no translation contains, in whatever tokens they could be spelled."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from mtcli.decoding.finder import Finder, Read
from mtcli.decoding.spelling import Spelling
from mtcli.layout import EOS


class Forbidden:
    """A `Rule` that keeps phrases out of the text as whole words: "cat" is forbidden, "category" is not.

    Whether a word is whole shows one token later, so a token is refused if it spells the end of a forbidden word and
    what follows it, or ends the text behind one, or leaves no way on but to do so. The verdict on all tokens is
    computed once for each state of the text, and then looked up.
    """

    def __init__(self, spelling: Spelling, phrases: Sequence[str]) -> None:
        self.spelling = spelling
        self.finder = Finder(spelling, phrases)
        self.verdicts: dict[int, tuple[Bool[Tensor, " v"], Bool[Tensor, " v"]]] = {}
        self.hopeless: dict[int, bool] = {}

    def __call__(self, tokens: Sequence[int], last: bool) -> Bool[Tensor, " v"]:
        """The tokens that may not follow; if the next one is the `last`, the text must not end behind a word either.

        What `tokens` contain already, because the user forced it, cannot be mended and is not held against them.
        """
        state, _ = self.finder.walk(tokens)
        refused, perilous = self.verdict(state)
        return refused | perilous if last else refused

    def verdict(self, state: int) -> tuple[Bool[Tensor, " v"], Bool[Tensor, " v"]]:
        """Of every token, whether it is refused after `state`, and whether a forbidden word could end with it."""
        if state not in self.verdicts:
            like = self.like(state)
            if like == state:
                judged = list(self.spelling.ordinary)
                refused, perilous = (torch.zeros(len(self.spelling), dtype=torch.bool) for _ in range(2))
            else:
                judged = self.different(state, like)
                refused, perilous = (verdict.clone() for verdict in self.verdict(like))
            refused[judged] = torch.tensor([self.refuses(state, token) for token in judged], dtype=torch.bool)
            perilous[judged] = torch.tensor([self.endangers(state, token) for token in judged], dtype=torch.bool)
            refused[EOS] = bool(self.finder.ending(state))
            self.verdicts[state] = refused, perilous
        return self.verdicts[state]

    def like(self, state: int) -> int:
        """A simpler state in which most tokens have the same verdict: that of the same text with nothing begun."""
        place, _ = self.finder.reads[state]
        return self.finder.number(Read(place._replace(nodes=frozenset())))

    def different(self, state: int, like: int) -> list[int]:
        """The tokens whose first character, or byte, tells the two states apart."""
        states = self.finder.reads[state], self.finder.reads[like]
        return [
            token
            for first, group in self.spelling.by_first.items()
            if self.finder.read(states[0], first) != self.finder.read(states[1], first)
            for token in group
        ]

    def refuses(self, state: int, token: int) -> bool:
        """Whether a token completes a forbidden word, or leads to where only such tokens are left."""
        after, found = self.finder.step(state, token)
        if found or not self.finder.ending(after):
            return bool(found)
        # Half a character may become a letter, or a sign that ends the word: nothing is lost by waiting for neither.
        return bool(self.finder.reads[after].partial) or self.no_way_on(after)

    def endangers(self, state: int, token: int) -> bool:
        """Whether a forbidden word would have occurred if the text ended with this token."""
        after, found = self.finder.step(state, token)
        return bool(found or self.finder.ending(after))

    def no_way_on(self, state: int) -> bool:
        """Whether every token is refused in a state in which the text must not end."""
        if state not in self.hopeless:
            self.hopeless[state] = all(self.refuses(state, token) for token in self.spelling.ordinary)
        return self.hopeless[state]
