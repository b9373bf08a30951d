"""A translation as tokens, and how its score is made of its log-probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """One translation of one sentence.

    `log_prob` is the model's natural log-probability of all predicted tokens, the EOS of a finished one included,
    whatever filters the search used. `score` is what hypotheses are compared by; higher is better.
    """

    tokens: tuple[int, ...]
    """Without BOS and EOS."""
    log_prob: float
    score: float
    finished: bool
    """False if the length limit cut it before its EOS."""

    @classmethod
    def of(cls, tokens: Sequence[int], log_prob: float, finished: bool, length_penalty: float) -> Hypothesis:
        """A hypothesis with its score; `tokens` are without BOS and EOS."""
        score = normalised(log_prob, len(tokens) + finished, length_penalty)
        return cls(tuple(tokens), log_prob, score, finished)


def normalised(log_prob: float, length: int, length_penalty: float) -> float:
    """`log_prob / length ** length_penalty`, where `length` counts predicted tokens, EOS included.

    A penalty of 0 leaves the log-probability alone and 1 gives the mean over tokens.
    """
    # Not a division: a huge penalty then underflows instead of raising OverflowError.
    return float(log_prob * float(length) ** -length_penalty)
