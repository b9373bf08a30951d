"""Softmax attention to the keys that a pattern of positions allows; each pattern is a file of its own."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtcli.layout import Attend, Rows
from mtcli.model.attention.mechanism import Mechanism, Past
from mtcli.model.attention.softmax import attend as mix
from mtcli.model.position import Position


@dataclass(frozen=True)
class Tokens:
    """The tokens that attend to each other, and how."""

    query: Float[Tensor, "b h t d"]
    key: Float[Tensor, "b g t d"]
    value: Float[Tensor, "b g t d"]
    attend: Attend
    position: Position
    dropout: float

    @property
    def length(self) -> int:
        """How many there are in each row, padding included."""
        return self.query.shape[2]

    @property
    def valid(self) -> Bool[Tensor, "b 1 t 1"]:
        """Which of them are no padding, laid out as the keys are."""
        return self.attend.keys.valid[:, None, :, None]


class PatternAttention(Mechanism):
    """Self-attention in which positions decide who sees whom, so that most logits need never be computed.

    A position in one sequence means nothing to a position in another: there is no cross-attention.
    """

    supports_cross = False

    def __init__(self, attention_dropout: float) -> None:
        super().__init__()
        self.attention_dropout = attention_dropout

    @abstractmethod
    def allowed(self, queries: Int[Tensor, " q"], keys: Int[Tensor, " k"], causal: bool) -> Bool[Tensor, "q k"]:
        """Which positions see which, as the paper defines it."""

    @abstractmethod
    def lasting(self, keys: Int[Tensor, " k"], first: int) -> Bool[Tensor, " k"]:
        """Which positions before `first` are seen, in the causal form, from `first` or later."""

    @abstractmethod
    def work(self, length: int, causal: bool) -> int:
        """How many logits `fast` computes for each head."""

    @abstractmethod
    def fast(self, tokens: Tokens) -> Float[Tensor, "b h t d"]:
        """Mix the values of allowed keys, laid out so that few other logits are computed."""

    def dense(self, tokens: Tokens) -> Float[Tensor, "b h t d"]:
        """The same by all logits and a mask: best for short sentences, and what `fast` is tested against."""
        attend, places = tokens.attend, tokens.attend.keys.positions
        mask = attend.mask & self.allowed(places, places, attend.causal)
        offsets = places - places[:, None]
        return mix(tokens.query, tokens.key, tokens.value, mask, offsets, tokens.position, tokens.dropout)

    def forward(
        self,
        query: Float[Tensor, "b h t d"],
        key: Float[Tensor, "b g t d"],
        value: Float[Tensor, "b g t d"],
        attend: Attend,
        position: Position,
    ) -> Float[Tensor, "b h t d"]:
        """Mix the values of allowed keys, in the way that is faster for this length."""
        dropout = self.attention_dropout if self.training else 0.0
        tokens = Tokens(query, key, value, attend, position, dropout)
        # With its copies and masks, a logit takes `fast` 4 to 12 times as long on a CPU; more than 4 costs memory.
        short = tokens.length**2 <= 4 * self.work(tokens.length, attend.causal)
        return self.dense(tokens) if short else self.fast(tokens)

    def step(
        self,
        query: Float[Tensor, "n h 1 d"],
        key: Float[Tensor, "n g 1 d"],
        value: Float[Tensor, "n g 1 d"],
        past: Past | None,
        position: Position,
    ) -> tuple[Float[Tensor, "n h 1 d"], Kept]:
        """Mix the values that this token sees, and keep those that a later one can see."""
        assert past is None or isinstance(past, Kept)
        past = past.append(key, value) if past else Kept(key, value, torch.tensor([0]), 1)
        here = past.length - 1
        mask = self.allowed(torch.tensor([here]), past.positions, causal=True).to(query.device)
        offsets = (past.positions - here)[None].to(query.device)
        mixed = mix(query, past.key, past.value, mask, offsets, position, 0.0)
        return mixed, past.only(self.lasting(past.positions, past.length))

    def remember(self, key: Float[Tensor, "b g k d"], value: Float[Tensor, "b g k d"], rows: Rows) -> Past:
        """There is no cross-attention."""
        raise NotImplementedError

    def look(self, query: Float[Tensor, "b h q d"], memory: Past, rows: Rows) -> Float[Tensor, "b h q d"]:
        """There is no cross-attention."""
        raise NotImplementedError


@dataclass(frozen=True)
class Kept(Past):
    """The keys and values that later queries may see, and where they stood."""

    key: Float[Tensor, "n g k d"]
    value: Float[Tensor, "n g k d"]
    positions: Int[Tensor, " k"]
    """On the processor always: to choose among keys then never waits for the device."""
    length: int
    """Tokens so far, kept or not."""

    def append(self, key: Float[Tensor, "n g 1 d"], value: Float[Tensor, "n g 1 d"]) -> Kept:
        """The same with the next token."""
        positions = torch.cat((self.positions, torch.tensor([self.length])))
        return Kept(torch.cat((self.key, key), 2), torch.cat((self.value, value), 2), positions, self.length + 1)

    def only(self, wanted: Bool[Tensor, " k"]) -> Kept:
        """The same without the keys that are not wanted."""
        if wanted.all():
            return self
        places = wanted.nonzero()[:, 0]
        there = places.to(self.key.device)
        key, value = self.key.index_select(2, there), self.value.index_select(2, there)
        return Kept(key, value, self.positions[places], self.length)

    def select(self, rows: Int[Tensor, " r"]) -> Kept:
        """The same with row `rows[i]` as row `i`."""
        key, value = self.key.index_select(0, rows), self.value.index_select(0, rows)
        return Kept(key, value, self.positions, self.length)
