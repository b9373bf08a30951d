"""A guess where two files that should match line by line stop doing so, from nothing but the lengths of lines."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import islice

LINES = 5_000_000
"""Lines looked at, which bounds the memory (about 200 MB) of a search that only serves an error message."""


def parting(source_lengths: Iterable[int], target_lengths: Iterable[int]) -> int | None:
    """The line, counted from 1, at which lines were probably lost or added; None if the lengths do not tell.

    Translations have similar lengths (Gale & Church 1993), up to a factor. Were d lines added to one side in one
    place, then line i matches line i before that place and line i + d after it; the place returned has the
    smallest sum of |log ratio| over both parts. It is None where that sum is hardly less than for lines that have
    nothing to do with each other.
    """
    import numpy as np

    lengths = [array("I", islice(side, LINES + 1)) for side in (source_lengths, target_lengths)]
    short, long = (np.log1p(np.asarray(side, dtype=np.float32)) for side in sorted(lengths, key=len))
    lines, extra = len(short), len(long) - len(short)
    if lines < 10 or extra == 0 or len(long) > LINES:
        return None
    long += np.median(short) - np.median(long)
    before, after, unrelated = (
        np.abs(short - other) for other in (long[:lines], long[extra:], np.roll(long[:lines], lines // 2))
    )
    cost = after.sum(dtype=np.float64) + np.concatenate([[0], np.cumsum(before - after, dtype=np.float64)])
    place = int(cost.argmin())
    return place + 1 if cost[place] < 0.8 * unrelated.sum() else None
