"""How good each of a few texts is if another is the reference: sacreBLEU's sentence scores of all pairs.

sacreBLEU counts the n-grams of both texts anew for each pair; here each text is counted once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from mtcli.language import bleu_metric

Utility = Callable[[Sequence[str]], Float[np.ndarray, "u u"]]
"""From texts to scores in percent: of the text of the row, with the text of the column as its reference."""

CHRF_ORDER, CHRF_BETA = 6, 2
BLEU_ORDER = 4


@dataclass(frozen=True)
class Matches:
    """The n-grams of one length that each of `u` texts has, and that each pair has in common, repeated ones too."""

    totals: Int[np.ndarray, " u"]
    common: Int[np.ndarray, "u u"]

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]], length: int) -> Matches:
        """Count the n-grams of texts, which are sequences of characters or words."""
        counters = [Counter(tuple(text[i : i + length]) for i in range(len(text) - length + 1)) for text in texts]
        columns = {gram: column for column, gram in enumerate(set().union(*counters))}
        counts = np.zeros((len(texts), len(columns)), dtype=np.int32)
        for row, counter in zip(counts, counters, strict=True):
            row[[columns[gram] for gram in counter]] = list(counter.values())
        # One row at a time: all pairs at once would take memory for the square of the texts.
        common = np.stack([np.minimum(row, counts).sum(-1) for row in counts])
        return cls(counts.sum(-1), common)


def chrf(target_lang: str) -> Utility:
    """chrF2 (Popović 2015), the same for every language: precision and recall averaged over the lengths of n-grams.

    Only lengths of which both texts have n-grams count.
    """

    def utility(texts: Sequence[str]) -> Float[np.ndarray, "u u"]:
        characters = ["".join(text.split()) for text in texts]
        precision, recall, lengths = (np.zeros((len(texts), len(texts))) for _ in range(3))
        for length in range(1, CHRF_ORDER + 1):
            matches = Matches.of(characters, length)
            own, reference = matches.totals[:, None], matches.totals[None, :]
            counted = (own > 0) & (reference > 0)
            precision += np.where(counted, matches.common / np.maximum(own, 1), 0)
            recall += np.where(counted, matches.common / np.maximum(reference, 1), 0)
            lengths += counted
        precision, recall = precision / np.maximum(lengths, 1), recall / np.maximum(lengths, 1)
        weight = CHRF_BETA**2
        mixed = weight * precision + recall
        return 100 * (1 + weight) * precision * recall / np.where(mixed > 0, mixed, 1)

    return utility


def bleu(target_lang: str) -> Utility:
    """Sentence BLEU (Papineni et al. 2002) with the tokenizer of the target language, for each target language.

    A precision of 0 is smoothed (Chen & Cherry 2014, method 3), and lengths of which a text has no n-grams are left
    out.
    """
    tokenizer = bleu_metric(target_lang).tokenizer

    def utility(texts: Sequence[str]) -> Float[np.ndarray, "u u"]:
        words = [tokenizer(text.rstrip()).split() for text in texts]
        lengths = np.array([len(text) for text in words])
        logs, orders, smoothing = np.zeros((len(texts), len(texts))), np.zeros(len(texts)), np.ones((1, 1))
        matched = np.zeros((len(texts), len(texts)), dtype=bool)
        for length in range(1, BLEU_ORDER + 1):
            matches = Matches.of(words, length)
            matched |= matches.common > 0
            smoothing = np.where(matches.common == 0, 2 * smoothing, smoothing)
            own = matches.totals[:, None]
            precision = np.where(matches.common == 0, 1 / smoothing, matches.common) / np.maximum(own, 1)
            logs += np.where(own > 0, np.log(precision), 0)
            orders += matches.totals > 0
        brevity = np.minimum(0, 1 - lengths[None, :] / np.maximum(lengths, 1)[:, None])
        return np.where(matched, 100 * np.exp(brevity + logs / np.maximum(orders, 1)[:, None]), 0)

    return utility
