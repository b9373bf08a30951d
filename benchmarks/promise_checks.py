"""Whether a text keeps what was promised, judged by regular expressions and plain loops.

Nothing here shares code with what keeps the promises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence


def places(word: str, text: str, ignore_case: bool = False) -> list[tuple[int, int]]:
    """Where a text has a word that is no part of a longer one: where each begins and ends."""
    before, after = (r"(?<!\w)" if word[0].isalnum() else "", r"(?!\w)" if word[-1].isalnum() else "")
    flags = re.IGNORECASE if ignore_case else 0
    return [match.span() for match in re.finditer(before + re.escape(word) + after, text, flags)]


def found(words: Sequence[str], text: str) -> list[str]:
    """Which of the words a text has."""
    return [word for word in words if places(word, text)]


def missing(words: Sequence[str], text: str) -> list[str]:
    """Which of the words a text has not."""
    return [word for word in words if not places(word, text)]


def asked_for(terms: Mapping[str, str], source: str, ignore_case: bool = False) -> list[str]:
    """The target terms that a source asks for; of overlapping source terms the longest one does."""
    spans = [
        (start - end, start, term) for term in terms for start, end in places(term, source, ignore_case=ignore_case)
    ]
    taken: set[int] = set()
    wanted = []
    for size, start, term in sorted(spans):
        own = set(range(start, start - size))
        if not own & taken:
            taken |= own
            wanted.append(terms[term])
    return sorted(set(wanted))


def begins(prefix: str, text: str) -> bool:
    """Whether a text begins with a prefix, whose last word may go on unless a space follows it."""
    return text.startswith(prefix) or text == prefix.strip()


def fixed(words: Sequence[str], prefix: str) -> list[str]:
    """The words that a text cannot avoid, because its prefix has them and something behind them."""
    return [word for word in words if any(end < len(prefix) for _, end in places(word, prefix))]


def repeated(tokens: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """The runs of `size` tokens that occur more than once."""
    runs = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    return sorted({run for run in runs if runs.count(run) > 1})
