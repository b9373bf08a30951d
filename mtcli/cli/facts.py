"""Nested facts for people: indented lines, numbers with separators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """One line per fact; tables within tables are indented, entries of a list stand in a row."""
    for name, value in facts.items():
        label = f"{indent}{name.replace('_', ' ')}:"
        if isinstance(value, Mapping):
            yield label if value else f"{label} none"
            yield from lines(value, indent + "  ")
        else:
            yield f"{label} {plain(value)}"


def plain(value: Any) -> str:
    """One value as people write it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return " ".join(plain(entry) for entry in value.values())
    if isinstance(value, list | tuple):
        return "; ".join(plain(entry) for entry in value) or "none"
    return str(value)
