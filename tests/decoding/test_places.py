"""What a word is, and of which words tokens are part."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mtcli.decoding.places import places, words

text = st.text(st.sampled_from("ab. 12\u00a0\u3000一二。カไทยक्\u0301"), max_size=20)


def test_words_stand_between_spaces_or_are_characters_of_scripts_without() -> None:
    assert words("Der Hund, der\u00a0bellt.") == ["Der", "Hund,", "der", "bellt."]
    assert words("我有2只 iPhone。") == ["我", "有", "2", "只", "iPhone。"]
    assert words("เด็ก two") == [*"เด็ก", "two"]
    assert words("यह एक है") == ["यह", "एक", "है"]
    assert words(" \n ") == []


@given(text, st.lists(st.integers(0, 20), max_size=6))
def test_tokens_belong_to_the_words_that_their_characters_are_part_of(whole: str, cuts: list[int]) -> None:
    ends = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    pieces = [whole[start:end] for start, end in pairwise(ends)]
    found = places(pieces)
    # Mark the pieces within the text by characters that are neither spaces nor of a script without them.
    for place, (piece, touched) in enumerate(zip(pieces, found, strict=True)):
        if piece.strip():
            before = "".join(pieces[:place])
            ended = words(before + piece)
            begun = len(words(before + piece[: len(piece) - len(piece.lstrip()) + 1])) - 1
            assert touched == list(range(begun, len(ended)))
    every = {number for touched in found for number in touched}
    assert every == set(range(len(words(whole))))


def test_what_has_no_word_belongs_to_the_next() -> None:
    assert places([" ", "a", "b", " ", "", "", "一", "c", " "]) == [[0], [0], [0], [1], [1], [1], [1], [2], []]
    assert places(["a b", "c d"]) == [[0, 1], [1, 2]]
    assert places([]) == []
