"""A small vocabulary with spaces, bytes and pieces that spell one word in many ways."""

from __future__ import annotations

from collections.abc import Sequence

SPECIAL = ["", "", "", ""]
BYTES = [b"\xc3", b"\xa9", b"\xa7", b"\xff", b"a", b" ", b"\n"]
PIECES = [" a", "a", " b", "b", "ab", " ab", " ", "-", "c", ".", "ç"]
RAW: list[str | bytes] = [*SPECIAL, *BYTES, *PIECES]

PLAIN: list[str | bytes] = [*SPECIAL, " a", "a", " b", "b", " ab"]
"""Small enough for exhaustive search."""


def spell(tokens: Sequence[int], texts: Sequence[str | bytes] = RAW) -> str:
    """The text of tokens: all bytes in a row, decoded at once."""
    parts = [text if isinstance(text, bytes) else text.encode() for text in (texts[token] for token in tokens)]
    return b"".join(parts).decode("utf-8", "replace")
