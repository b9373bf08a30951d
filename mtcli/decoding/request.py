"""What a search is asked for, sentence by sentence; what holds for all sentences is in `DecodingSettings`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from jaxtyping import Bool
from torch import Tensor

if TYPE_CHECKING:
    from mtcli.decoding.required import Required


class Rule(Protocol):
    """What one hypothesis may not continue with."""

    def __call__(self, tokens: Sequence[int], last: bool) -> Bool[Tensor, " v"] | None:
        """Which tokens may not follow `tokens`, those predicted so far; None if all may.

        `last` says that the length limit lets nothing follow the next token.
        """


@dataclass(frozen=True)
class Request:
    """What is asked for one sentence."""

    limit: int
    """The most tokens predicted, EOS included."""
    seed: int = 0
    """Of the random numbers that sampling draws for this sentence."""
    minimum: int = 0
    """The fewest tokens predicted, EOS not included, as far as there is a choice."""
    rules: tuple[Rule, ...] = ()
    """What may not be predicted; an earlier rule prevails where a later one would leave nothing."""
    required: Required | None = None
    """Words that must be in the translation; only beam search with banks obeys."""
    source: Sequence[int] = ()
    """The source tokens without EOS, to read the sentence once more; only the coverage penalty does."""
