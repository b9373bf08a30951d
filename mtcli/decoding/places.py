"""What counts as a word in any script: what stands between white space, and characters where no space is written."""

from __future__ import annotations

import re
from collections.abc import Sequence

WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)
"""A character of Thai, Lao, Tibetan, Burmese, Khmer, Japanese or Chinese, which separate no words."""


def words(text: str) -> list[str]:
    """The words of a text; each character of a script without spaces is one."""
    return WITHOUT_SPACES.sub(r" \g<0> ", text).split()


def places(surfaces: Sequence[str]) -> list[list[int]]:
    """For each token, by what it adds to a text, the numbers of the words in that text that it is part of.

    A token of white space only, or one that only begins a character, belongs to the word that follows it.
    """
    number, inside = -1, False
    found: list[list[int]] = []
    for surface in surfaces:
        touched: list[int] = []
        for character in surface:
            alone = WITHOUT_SPACES.match(character) is not None
            if character.isspace():
                inside = False
                continue
            number += alone or not inside
            inside = not alone
            if number not in touched[-1:]:
                touched.append(number)
        found.append(touched)
    following: list[int] = []
    for place in reversed(range(len(found))):
        found[place] = found[place] or following
        following = found[place][:1]
    return found
