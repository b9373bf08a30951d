"""Where to cut a line that is too long to translate at once."""

from __future__ import annotations

import re
from collections.abc import Callable

SENTENCE_END = re.compile(r"(?<=[.!?…؟۔।])\s+|(?<=[。！？])\s*")
WHITE_SPACE = re.compile(r"\s+")


def split(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Cut `text` into parts that fit, none empty; a single character is a part even if it does not fit.

    Cuts are made between sentences if possible, else at white space, else anywhere.
    """
    text = text.strip()
    if len(text) < 2 or fits(text):
        return [text] if text else []
    left, right = halves(text)
    return split(left, fits) + split(right, fits)


def halves(text: str) -> tuple[str, str]:
    """Cut `text` at the best place near its middle."""
    middle, margin = len(text) // 2, max(1, len(text) // 4)
    for pattern in (SENTENCE_END, WHITE_SPACE):
        cuts = [match.span() for match in pattern.finditer(text, margin, len(text) - margin)]
        if cuts:
            start, end = min(cuts, key=lambda span: abs(span[0] - middle))
            return text[:start], text[end:]
    return text[:middle], text[middle:]
