"""Whole words, against regular expressions over the finished text, and in whatever tokens they are spelled."""

from __future__ import annotations

import random
import re

import pytest

from mtcli.decoding.finder import Finder
from mtcli.decoding.spelling import Spelling
from mtcli.decoding.words import Words
from tests.decoding.spelled import RAW, spell

PHRASES = ["a", "ab", "a b", "b-a", "b c", "é", "猫", "ça"]
WORD = "[a-zA-Z_0-9éçн]"  # of the characters used here


def naive(phrases: list[str], text: str) -> set[str]:
    """The phrases in `text`, found by lookarounds; white space is collapsed first."""
    text = re.sub(r"\s+", " ", text).strip()
    found = set()
    for phrase in phrases:
        left = f"(?<!{WORD})" if re.match(WORD, phrase[0]) else ""
        right = f"(?!{WORD})" if re.match(WORD, phrase[-1]) else ""
        if re.search(left + re.escape(phrase) + right, text):
            found.add(phrase)
    return found


def test_phrases_are_found_where_a_regular_expression_finds_them():
    words, numbers = Words(PHRASES), random.Random(1)
    for _ in range(4000):
        text = "".join(numbers.choices("aaabbbc  -.éç猫н\u3000", k=numbers.randrange(12)))
        clean = re.sub(r"\s+", " ", text).strip()
        found = words.find(clean)
        assert {PHRASES[phrase] for _, _, phrase in found} == naive(PHRASES, text), text
        assert all(clean[start:end] == PHRASES[phrase] for start, end, phrase in found)


@pytest.mark.parametrize(
    ("phrase", "text", "whole"),
    [
        ("cat", "the cat.", True),
        ("cat", "category", False),
        ("cat", "concat", False),
        ("cat", "cat_", False),
        ("cat", "(cat)", True),
        ("cat", "cat's", True),
        ("cat", "Cat", False),
        ("New York", "in New   York", True),
        ("New York", "New Yorker", False),
        ("का", "काम", False),
        ("कम", "कम है", True),
        ("कम", "कमी", False),  # a vowel sign, which is no letter
        ("می", "می\u200cخواهم", False),  # a joiner within a word
        ("猫", "黒猫が", True),
        ("แมว", "นี่แมวดำ", True),
        ("C++", "C++ and C", True),
        ("고양이", "고양이가", False),
    ],
)
def test_what_is_a_whole_word_depends_on_the_script(phrase: str, text: str, whole: bool):
    assert bool(Words([phrase]).find(text)) == whole


def test_tokens_spell_what_their_text_says_however_it_is_cut():
    finder, numbers = Finder(Spelling(RAW), PHRASES), random.Random(2)
    seen = set()
    for _ in range(4000):
        tokens = [numbers.randrange(4, len(RAW)) for _ in range(numbers.randrange(9))]
        state, found = finder.walk(tokens)
        found |= finder.ending(state)
        assert {PHRASES[phrase] for phrase in found} == naive(PHRASES, spell(tokens)), spell(tokens)
        seen |= found
    assert len(seen) == len(PHRASES) - 1  # no token has a Han character
