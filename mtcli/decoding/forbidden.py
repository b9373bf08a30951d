"""Words that no translation contains, in whatever tokens they could be spelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from mtcli.decoding.finder import Finder, Read
from mtcli.decoding.spelling import Spelling
from mtcli.layout import EOS

REMEMBERED = 1024
"""Verdicts: 64 MB with 32,000 tokens. Of ten thousand forbidden words, texts begin more than fit into memory."""


class Verdict(NamedTuple):
    """Of every token, whether it is refused, and whether a forbidden word could end with it."""

    refused: Bool[Tensor, " v"]
    perilous: Bool[Tensor, " v"]


class Forbidden:
    """A `Rule` that keeps phrases out of the text as whole words: "cat" is forbidden, "category" is not.

    Whether a word is whole shows one token later, so a token is refused if it spells the end of a forbidden word and
    what follows it, or ends the text behind one, or leaves no way on but to do so. The verdict on all tokens is
    computed once for each state of the text, and then looked up.
    """

    def __init__(self, spelling: Spelling, phrases: Sequence[str]) -> None:
        self.spelling = spelling
        self.finder = Finder(spelling, phrases)
        self.verdict = lru_cache(REMEMBERED)(self.judge)
        self.hopeless: dict[Read, bool] = {}

    def __call__(self, tokens: Sequence[int], last: bool) -> Bool[Tensor, " v"]:
        """The tokens that may not follow; if the next one is the `last`, the text must not end behind a word either.

        What `tokens` contain already, because the user forced it, cannot be mended and is not held against them.
        """
        read, _ = self.finder.walk(tokens)
        refused, perilous = self.verdict(read)
        return refused | perilous if last else refused

    def judge(self, read: Read) -> Verdict:
        """The verdict on all tokens: of most the same as if no forbidden word had begun."""
        like = Read(read.place._replace(nodes=frozenset()))
        begun = like != read
        refused, perilous = self.verdict(like) if begun else (torch.zeros(len(self.spelling), dtype=torch.bool),) * 2
        refused, perilous = refused.clone(), perilous.clone()
        judged: list[int] = []
        dead_ends: list[int] = []
        dangers: list[int] = []
        for tokens, after in self.different(read, like if begun else None):
            judged += tokens
            dead_ends += tokens if after is None or self.stuck(after) else []
            dangers += tokens if after is None or self.finder.ending(after) else []
        for verdict, against in ((refused, dead_ends), (perilous, dangers)):
            verdict[judged] = False
            verdict[against] = True
        refused[EOS] = bool(self.finder.ending(read))
        return Verdict(refused, perilous)

    def different(self, read: Read, like: Read | None) -> Iterator[tuple[list[int], Read | None]]:
        """The tokens that lead elsewhere from `read` than from `like`, and where; None: to a forbidden word."""
        places = [(self.spelling.tree, read, like)]
        while places:
            branch, one, other = places.pop()
            for character, longer in branch.longer.items():
                after, found = self.finder.read(one, character)
                if found:
                    yield longer.all, None
                    continue
                without = None if other is None else self.finder.read(other, character)[0]
                if after != without:
                    if longer.here:
                        yield longer.here, after
                    places.append((longer, after, without))

    def stuck(self, read: Read) -> bool:
        """Whether the text must not end here, and has no way on."""
        if not self.finder.ending(read):
            return False
        # Half a character may become a letter, or a sign that ends the word: nothing is lost by waiting for neither.
        return bool(read.partial) or self.no_way_on(read)

    def no_way_on(self, read: Read) -> bool:
        """Whether every token is refused where the text must not end."""
        if read not in self.hopeless:
            # From the last, as those are letters in most vocabularies, and letters lead on.
            self.hopeless[read] = all(self.refuses(read, token) for token in reversed(self.spelling.ordinary))
        return self.hopeless[read]

    def refuses(self, read: Read, token: int) -> bool:
        """Whether a token completes a forbidden word, or leads to where only such tokens are left."""
        after, found = self.finder.read(read, self.spelling.texts[token])
        return bool(found) or self.stuck(after)
