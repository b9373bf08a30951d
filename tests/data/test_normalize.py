"""Laws of normalisation."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.data.normalize import LONG, normalize

ANYTHING = st.text(st.characters(codec=None, exclude_categories=()))
BLANKS = {c for c in map(chr, range(0x110000)) if c.isspace() or unicodedata.category(c) == "Cc"} | {"\ufeff"}
NASTY = st.text(st.sampled_from([*sorted(BLANKS), "a", "e", "\u0301", "\u0323", "é", "\u0f73", "\ud800", "가", "ᆨ"]))


def slowly(text: str) -> str:
    """The rule again, character by character."""
    text = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    spaced = "".join(" " if c in BLANKS else c for c in unicodedata.normalize("NFC", text))
    return " ".join(part for part in spaced.split(" ") if part)


@given(ANYTHING | NASTY)
def test_equals_the_rule_applied_character_by_character(text):
    assert normalize(text) == slowly(text)


@given(ANYTHING | NASTY)
def test_idempotent_and_writable_on_one_line(text):
    once = normalize(text)
    assert normalize(once) == once
    assert len(once.splitlines()) <= 1
    once.encode("utf-8")


@settings(max_examples=20)
@given(st.text(st.sampled_from("aeo\u0301\u0323\u0308\u0f73\u0f71é각 "), min_size=LONG, max_size=LONG + 50))
def test_long_lines_follow_the_same_rule(text):
    assert normalize(text) == slowly(text)


@pytest.mark.parametrize("mark", ["\u200c", "\u200d", "\u200e", "\u200f", "\u202b", "\u2067", "\u200b", "\u00ad"])
def test_marks_that_are_text_stay(mark):
    assert normalize(f"می{mark}خواهم") == f"می{mark}خواهم"


@pytest.mark.parametrize("blank", ["\u00a0", "\u202f", "\u3000", "\x00", "\x0b", "\x0c", "\x85", "\u2028", "\ufeff"])
def test_white_space_and_control_characters_become_one_space(blank):
    assert normalize(f"{blank} a{blank}{blank} b{blank}") == "a b"


@pytest.mark.parametrize("text", ["½ m² … ﬁ", "Straße İ ı", "👩‍👩‍👧 [/b] \u202eabc\u202c", "Ⅷ ａ"])
def test_compatibility_characters_stay(text):
    assert normalize(text) == text


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0f73", "\u0301"])
def test_a_million_combining_marks_take_seconds_not_hours(marks):
    started = time.monotonic()
    normalize("a" + marks * (1_000_000 // len(marks)))
    assert time.monotonic() - started < 20
