"""What pieces of a vocabulary are as text, one by one; a character that is spelled in bytes is its last byte's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby


def surfaces(pieces: Sequence[str], are_bytes: Sequence[bool]) -> list[str]:
    """The text of each piece, where bytes are written `<0xE7>`."""
    found: list[str] = []
    for is_byte, run in groupby(zip(are_bytes, pieces, strict=True), key=lambda pair: pair[0]):
        texts = [piece for _, piece in run]
        found += spelled(bytes(int(text[1:-1], 16) for text in texts)) if is_byte else texts
    return found


def spelled(text: bytes) -> list[str]:
    """For each byte the character that it ends, and nothing for those before; U+FFFD for one that is part of none."""
    found: list[str] = []
    while len(found) < len(text):
        character, length = first_character(text[len(found) : len(found) + 4])
        found += [*[""] * (length - 1), character]
    return found


def first_character(text: bytes) -> tuple[str, int]:
    """The character with which bytes begin, and how many it takes; U+FFFD for one byte that begins none."""
    for length in range(1, len(text) + 1):
        try:
            return text[:length].decode("utf-8"), length
        except UnicodeDecodeError:
            continue
    return "\ufffd", 1
