"""Minimum Bayes risk decoding (Eikema & Aziz 2020): of a model's samples, the ones most like all the others.

The samples stand for what the model believes; the best translation is the one with the highest utility to be expected
if one of them, each as likely as the next, were the reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.request import Request
from mtcli.decoding.sampling import sample
from mtcli.decoding.utility import Utility
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.settings import DecodingSettings


def candidates(
    model: Seq2Seq[Any],
    memory: Memory,
    requests: Sequence[Request],
    settings: DecodingSettings,
) -> list[list[Hypothesis]]:
    """The `mbr_samples` samples per sentence that are candidates and references at once, in the order drawn.

    Which of them are best shows in their texts: see `ranked`.
    """
    return sample(model, memory, requests, settings.model_copy(update={"n_best": settings.mbr_samples}))


def ranked(texts: Sequence[str], utility: Utility) -> list[tuple[int, float]]:
    """The place where each text stands first and its expected utility, the best first, of equal ones the first drawn.

    A text that was drawn several times counts as often as a reference.
    """
    drawn = Counter(texts)
    weights = np.array([*drawn.values()]) / len(texts)
    expected = (utility([*drawn]) * weights).sum(-1).tolist()
    found = [(texts.index(text), score) for text, score in zip(drawn, expected, strict=True)]
    return sorted(found, key=lambda pair: -pair[1])
