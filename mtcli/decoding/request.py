"""What a search is asked for, sentence by sentence; what holds for all sentences is in `DecodingSettings`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """What is asked for one sentence."""

    limit: int
    """The most tokens predicted, EOS included."""
    seed: int = 0
    """Of the random numbers that sampling draws for this sentence."""
