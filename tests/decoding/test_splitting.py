"""Very long lines in parts."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mtcli.decoding.splitting import split

text = st.text(st.sampled_from("ab .!。\u0301\u2028\n"), max_size=60)


@given(text, st.integers(1, 12))
def test_parts_fit_and_lose_nothing_but_white_space(line, most):
    parts = split(line, lambda part: len(part) <= most)
    assert all(0 < len(part) <= most for part in parts)
    assert all(part == part.strip() for part in parts)
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", line)


def test_cuts_are_made_between_sentences_then_between_words():
    line = "One two three. Four five six seven! Eight."
    assert split(line, lambda part: len(part) <= 30) == ["One two three.", "Four five six seven! Eight."]
    assert split("一二三。四五六。", lambda part: len(part) <= 4) == ["一二三。", "四五六。"]
    assert split("one two three four", lambda part: len(part) <= 10) == ["one two", "three four"]
    assert split("abcdef", lambda part: len(part) <= 3) == ["abc", "def"]


def test_what_fits_stays_whole():
    assert split("  a b. c ", lambda part: True) == ["a b. c"]


def test_a_character_that_cannot_fit_is_a_part():
    assert split("ab", lambda part: False) == ["a", "b"]


def test_a_line_of_a_million_combining_marks():
    parts = split("\u0301" * 1_000_000, lambda part: len(part) <= 1000)
    assert sum(map(len, parts)) == 1_000_000
