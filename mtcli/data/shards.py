"""Which pairs are planned together, so that the memory of a plan does not grow with the corpus.

A corpus of more than one shard is cut into windows of neighbours, which every epoch deals out anew: so even a sorted
corpus is mixed, and yet what a shard reads lies together on the disk.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# About so many pairs in a shard: planning one takes some 40 MB, and up to a second.
SHARD = 1 << 20
# Pairs that stay neighbours: a shard has some 250 windows, and one of them fills several reads of a disk.
WINDOW = 1 << 12

Indices = npt.NDArray[np.int64]


def count(pairs: int) -> int:
    """Into how many shards so many pairs are divided."""
    return -(-pairs // SHARD)


def members(pairs: int, shard: int, seeds: list[int]) -> Indices:
    """The pairs of one shard; all shards that are dealt out with the same `seeds` have each pair once."""
    if count(pairs) == 1:
        return np.arange(pairs)
    windows = np.random.default_rng(seeds).permutation(-(-pairs // WINDOW))
    chosen = np.array_split(windows, count(pairs))[shard]
    found: Indices = (chosen[:, None] * WINDOW + np.arange(WINDOW)).ravel()
    return found[found < pairs]


def generator(pairs: int, shard: int, seeds: list[int]) -> np.random.Generator:
    """Random numbers for one shard alone."""
    return np.random.default_rng(seeds if count(pairs) == 1 else [*seeds, 1 + shard])
