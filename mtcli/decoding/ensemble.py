"""Several models as one: each reads the whole source and predicts each token, and their predictions are mixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.decoding.filters import precise
from mtcli.layout import Batch, Rows
from mtcli.model.seq2seq import Memory, Seq2Seq

Mix = Callable[[Float[Tensor, "e n v"]], Float[Tensor, "n v"]]
"""From the log-probabilities of each member to the logits of all."""


def log_linear(log_probs: Float[Tensor, "e n v"]) -> Float[Tensor, "n v"]:
    """Logits of the geometric mean of the members' probabilities: what one member rules out is ruled out."""
    return log_probs.mean(0)


def linear(log_probs: Float[Tensor, "e n v"]) -> Float[Tensor, "n v"]:
    """Logits of the arithmetic mean of the members' probabilities: what one member favours stays possible."""
    return log_probs.logsumexp(0) - log(len(log_probs))


@dataclass(frozen=True)
class Memories(Memory):
    """What each member makes of the sources; `values` are those of the first."""

    members: tuple[Memory, ...]


class Ensemble(Seq2Seq[list[Any]]):
    """Models with one vocabulary, of any architectures, whose predictions are mixed at every token."""

    def __init__(self, members: Sequence[Seq2Seq[Any]], mix: Mix) -> None:
        super().__init__()
        self.members: Sequence[Seq2Seq[Any]] = nn.ModuleList(members)  # type: ignore[assignment]
        self.mix = mix
        self.output = members[0].output  # for its size, which is that of all; predictions are `predict`'s
        self.longest_source = least([member.longest_source for member in members])
        self.longest_target = least([member.longest_target for member in members])

    def encode(self, source: Int[Tensor, "b s"], rows: Rows) -> Memories:
        """Let each member read the source."""
        memories = tuple(member.encode(source, rows) for member in self.members)
        return Memories(memories[0].values, rows, memories)

    def readout(self, batch: Batch) -> Float[Tensor, "b t m"]:
        """The members' vectors side by side."""
        return torch.cat([member.readout(batch) for member in self.members], -1)

    def predict(self, vectors: Float[Tensor, "*n m"]) -> Float[Tensor, "*n v"]:
        """The logits that all members' vectors give."""
        parts = torch.split(vectors, [member.output.in_features for member in self.members], -1)
        return self.mixed([member.predict(part) for member, part in zip(self.members, parts, strict=True)])

    @property
    def supports_attention(self) -> bool:
        """Whether every member has weights."""
        return all(member.supports_attention for member in self.members)

    def attention(self, batch: Batch) -> Float[Tensor, "b t s"]:
        """The mean of the members' weights."""
        return torch.stack([member.attention(batch) for member in self.members]).mean(0)

    def start(self, memory: Memory, width: int = 1) -> list[Any]:
        """The state of each member."""
        assert isinstance(memory, Memories)
        return [member.start(part, width) for member, part in zip(self.members, memory.members, strict=True)]

    def step(self, tokens: Int[Tensor, " n"], state: list[Any]) -> tuple[Float[Tensor, "n v"], list[Any]]:
        """Feed the tokens to each member."""
        stepped = [member.step(tokens, part) for member, part in zip(self.members, state, strict=True)]
        return self.mixed([logits for logits, _ in stepped]), [part for _, part in stepped]

    def select(self, state: list[Any], rows: Int[Tensor, " n"]) -> list[Any]:
        """The same rows of each member."""
        return [member.select(part, rows) for member, part in zip(self.members, state, strict=True)]

    def mixed(self, logits: Sequence[Float[Tensor, "*n v"]]) -> Float[Tensor, "*n v"]:
        """The logits of all members as those of one model."""
        return self.mix(torch.stack([precise(each).log_softmax(-1) for each in logits]))


def least(limits: Sequence[int | None]) -> int | None:
    """The smallest of those that there are."""
    return min((limit for limit in limits if limit is not None), default=None)
