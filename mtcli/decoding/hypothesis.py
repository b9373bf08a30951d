"""A translation as tokens, and how its score is made of its log-probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtcli.settings import DecodingSettings


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
    def of(cls, tokens: Sequence[int], log_prob: float, finished: bool, settings: DecodingSettings) -> Hypothesis:
        """A hypothesis with its score; `tokens` are without BOS and EOS."""
        score = normalised(log_prob, len(tokens) + finished, settings)
        return cls(tuple(tokens), log_prob, score, finished)


def normalised(log_prob: float, length: int, settings: DecodingSettings) -> float:
    """`log_prob / divisor ** length_penalty`, where `length` counts predicted tokens, EOS included.

    The divisor is the length, or (5 + length) / 6 (gnmt; Wu et al. 2016, eq. 14), or 1 (none). It never falls as the
    length grows, which the bound that stops beam search relies on.
    """
    match settings.length_normalization:
        case "average":
            divisor = float(length)
        case "gnmt":
            divisor = (5 + length) / 6
        case "none":
            divisor = 1.0
    # Not a division: a huge penalty then underflows instead of raising OverflowError.
    return float(log_prob * divisor**-settings.length_penalty)
