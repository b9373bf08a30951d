"""What counts as a word in any script: what stands between white space, and characters where no space is written."""

from __future__ import annotations

from collections.abc import Sequence

from mtcli.decoding.words import UNSPACED


def words(text: str) -> list[str]:
    """The words of a text; each character of a script without spaces is one."""
    return UNSPACED.sub(r" \g<0> ", text).split()


def places(surfaces: Sequence[str]) -> list[list[int]]:
    """For each token, by what it adds to a text, the numbers of the words in that text that it is part of.

    A token of white space only, or one that only begins a character, belongs to the word that follows it.
    """
    number, inside = -1, False
    found: list[list[int]] = []
    for surface in surfaces:
        touched: list[int] = []
        for character in surface:
            alone = UNSPACED.match(character) is not None
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
