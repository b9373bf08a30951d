"""Sentence pairs that mean nothing and are as long as real ones, to measure with where there is no corpus."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtcli.data.encoded import Encoded, Sentences
from mtcli.layout import EOS

MEAN, SHAPE, SCATTER = 24, 2.0, 0.2

LENGTHS = (
    f"source tokens gamma-distributed (mean {MEAN}, shape {SHAPE:g}), target as many times a log-normal factor"
    f" (sigma {SCATTER:g})"
)
"""In words; the lengths of sentences are gamma-distributed (Sigurd et al. 2004), and those in talks about so long."""

Numbers = npt.NDArray[np.int64]


def generate(pairs: int, source_size: int, target_size: int, longest: int, seed: int) -> Encoded:
    """So many pairs, with 1 to `longest` tokens on each side, without EOS, of vocabularies of these sizes."""
    generator = np.random.default_rng(seed)
    source = generator.gamma(SHAPE, MEAN / SHAPE, pairs)
    target = source * generator.lognormal(0, SCATTER, pairs)
    return Encoded(
        drawn(generator, rounded(source, longest), source_size),
        drawn(generator, rounded(target, longest), target_size),
    )


def rounded(lengths: npt.NDArray[np.float64], longest: int) -> Numbers:
    """Lengths as whole numbers from 1 on."""
    return np.clip(np.rint(lengths), 1, longest).astype(np.int64)


def drawn(generator: np.random.Generator, lengths: Numbers, size: int) -> Sentences:
    """Sentences of these lengths; a token is the less likely, the higher: as 1 / rank (Zipf 1935)."""
    ranks = size - EOS - 1
    # The integral of 1 / rank is the logarithm: a uniform share of it gives a rank.
    tokens = EOS + np.floor((ranks + 1) ** generator.random(int(lengths.sum())))
    # Rounding may lift a share near 1 over the last rank.
    return Sentences.laid(np.minimum(tokens, size - 1).astype(np.min_scalar_type(size - 1)), lengths)
