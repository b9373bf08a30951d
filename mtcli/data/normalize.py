"""The one change that every text undergoes before a model sees it: Unicode NFC and plain spaces.

Any run of white space and control characters becomes one U+0020, and the ends are stripped. White space is
everything with Unicode's White_Space property, so the no-break spaces (U+00A0, U+202F) and the ideographic space
(U+3000) too: SentencePiece sees word boundaries at U+0020 only, and would glue the words around another space into
one rare piece. Control characters are C0, DEL and C1; a byte order mark in the text counts as one.

All else is text and stays: ZWNJ and ZWJ (Persian, Indic scripts, emoji), bidi marks, the zero-width space (a word
boundary in Khmer and Thai), soft hyphens, compatibility characters such as m² and ½.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ufeff]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

LONG = 2048
"""Characters from which marks are put in order here: CPython does it in quadratic time."""


def normalize(text: str) -> str:
    """NFC with every run of white space and control characters as one space, ends stripped; idempotent.

    Lone surrogates, which no encoding can write, become U+FFFD.
    """
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
        if len(text) >= LONG:
            text = _ordered(text)
        text = unicodedata.normalize("NFC", text)
    text = text.strip(" ")
    # A printable text has no blank but U+0020; asking so is far cheaper than the expression.
    if text.isprintable() and "  " not in text:
        return text
    return _BLANKS.sub(" ", text).strip(" ")


def _ordered(text: str) -> str:
    """Canonically equivalent text whose marks are in canonical order, so that NFC takes linear time."""
    decomposed = "".join(unicodedata.normalize("NFD", character) for character in text)
    runs = groupby(decomposed, key=lambda character: unicodedata.combining(character) > 0)
    return "".join("".join(sorted(run, key=unicodedata.combining) if marks else run) for marks, run in runs)
