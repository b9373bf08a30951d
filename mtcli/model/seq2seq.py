"""All that training and decoding may see of a model: readout / forward, and encode / start / step / select."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.layout import Batch, Rows


@dataclass(frozen=True)
class Memory:
    """What the encoder makes of a batch of sources: one vector per source token."""

    values: Float[Tensor, "b s m"]
    rows: Rows


State = TypeVar("State")
"""What a decoder remembers between steps; only the model that made it looks inside."""


class Seq2Seq(nn.Module, ABC, Generic[State]):
    """A model that reads a source and predicts a target token by token.

    The rows of a `State` are hypotheses, `width` of them for each sentence, those of one sentence next to each
    other: row `i` belongs to sentence `i // width`.
    """

    output: nn.Linear
    """Readout vectors to logits over the target vocabulary; has no bias."""
    longest_source: int | None = None
    """Tokens, EOS included, of the longest source it can read; None: any."""
    longest_target: int | None = None
    """Tokens of the longest target it can predict, EOS included; None: any."""

    @abstractmethod
    def encode(self, source: Int[Tensor, "b s"], rows: Rows) -> Memory:
        """Read the source."""

    @abstractmethod
    def readout(self, batch: Batch) -> Float[Tensor, "b t m"]:
        """The vectors from which `output` predicts each target token, given all target tokens before it."""

    @abstractmethod
    def start(self, memory: Memory, width: int = 1) -> State:
        """The state before the first step, with `width` rows for each sentence in `memory`."""

    @abstractmethod
    def step(self, tokens: Int[Tensor, " n"], state: State) -> tuple[Float[Tensor, "n v"], State]:
        """Feed one token to each row; return the logits of the next tokens and the state after it."""

    @abstractmethod
    def select(self, state: State, rows: Int[Tensor, " n"]) -> State:
        """The state whose row `i` continues the old row `rows[i]`.

        `rows` is a whole number of groups of `width`, each from within one sentence; sentences may be dropped.
        """

    def predict(self, vectors: Float[Tensor, "*n m"]) -> Float[Tensor, "*n v"]:
        """The logits that readout vectors give."""
        logits: Tensor = self.output(vectors)
        return logits

    @property
    def supports_attention(self) -> bool:
        """Whether `attention` can be asked for."""
        return False

    def attention(self, batch: Batch) -> Float[Tensor, "b t s"]:
        """How much the prediction of each target token looks at each source token; asked only where supported.

        A token's weights sum to 1 over the source, its EOS included; padding has none.
        """
        return self.readout_and_attention(batch)[1]

    def readout_and_attention(self, batch: Batch) -> tuple[Float[Tensor, "b t m"], Float[Tensor, "b t s"]]:
        """What `readout` and `attention` give, of one pass; asked only where supported."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Float[Tensor, "b t v"]:
        """Logits of every target token, given all target tokens before it."""
        return self.predict(self.readout(batch))
