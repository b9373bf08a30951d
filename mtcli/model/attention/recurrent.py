"""What a recurrent decoder sees of the memory: a mean weighted by scores, or one vector for the whole sentence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.layout import Rows
from mtcli.model.attention.alignment import Alignment
from mtcli.model.seq2seq import Memory


@dataclass(frozen=True)
class Seen:
    """What is computed of a memory once per sentence."""

    key: Float[Tensor, "b k m"]
    value: Float[Tensor, "b k m"]
    rows: Rows

    def select(self, sentences: Int[Tensor, " r"]) -> Seen:
        """The same of some of the sentences."""
        rows = Rows(self.rows.lengths[sentences], self.rows.width)
        return Seen(self.key.index_select(0, sentences), self.value.index_select(0, sentences), rows)


class Look(nn.Module, ABC):
    """Queries to contexts."""

    supports_weights: ClassVar[bool] = False
    """Whether its contexts are means of the memory's vectors."""

    @abstractmethod
    def remember(self, memory: Memory) -> Seen:
        """What queries will need of a memory."""

    @abstractmethod
    def forward(self, query: Float[Tensor, "b q m"], places: Int[Tensor, "#q"], seen: Seen) -> Float[Tensor, "b q m"]:
        """The context of each query; `places` are the queries' positions in the target."""

    def weights(self, query: Float[Tensor, "b q m"], places: Int[Tensor, "#q"], seen: Seen) -> Float[Tensor, "b q s"]:
        """The weight of each of the memory's vectors in each context; asked only where supported."""
        raise NotImplementedError


class Attention(Look):
    """The mean of the memory's vectors, weighted by how well they match the query (Bahdanau et al. 2015, eq. 5)."""

    supports_weights = True

    def __init__(self, score: Score, alignment: Alignment) -> None:
        super().__init__()
        self.score = score
        self.alignment = alignment

    def remember(self, memory: Memory) -> Seen:
        """The vectors themselves, and as the score compares them."""
        return Seen(self.score.keys(memory.values), memory.values, memory.rows)

    def forward(self, query: Float[Tensor, "b q m"], places: Int[Tensor, "#q"], seen: Seen) -> Float[Tensor, "b q m"]:
        """The weighted mean for each query."""
        context: Tensor = self.weights(query, places, seen) @ seen.value
        return context

    def weights(self, query: Float[Tensor, "b q m"], places: Int[Tensor, "#q"], seen: Seen) -> Float[Tensor, "b q s"]:
        """The scores after alignment."""
        weights: Tensor = self.alignment(self.score(query, seen.key), query, places, seen.rows)
        return weights


class Bottleneck(Look):
    """The summary of the sentence, whatever the query: an encoder-decoder without attention (Cho et al. 2014)."""

    def remember(self, memory: Memory) -> Seen:
        """The summary."""
        whole = summary(memory)[:, None]
        return Seen(whole, whole, memory.rows)

    def forward(self, query: Float[Tensor, "b q m"], places: Int[Tensor, "#q"], seen: Seen) -> Float[Tensor, "b q m"]:
        """The same vector for each query."""
        return seen.value.expand_as(query)


def summary(memory: Memory) -> Float[Tensor, "b m"]:
    """The encoder's last state on its way forward, and on its way back: each has read the whole sentence."""
    half = memory.values.shape[-1] // 2
    last = memory.rows.lengths - 1
    sentences = torch.arange(len(last), device=last.device)
    return torch.cat((memory.values[sentences, last, :half], memory.values[:, 0, half:]), dim=-1)


class Score(nn.Module, ABC):
    """How well the vectors of a memory match a query."""

    def keys(self, memory: Float[Tensor, "b k m"]) -> Float[Tensor, "b k m"]:
        """What queries are compared with."""
        return memory

    @abstractmethod
    def forward(self, query: Float[Tensor, "b q m"], keys: Float[Tensor, "b k m"]) -> Float[Tensor, "b q k"]:
        """The score of each query with each key."""


class Dot(Score):
    """`h_t . h_s` (Luong et al. 2015, eq. 8)."""

    def __init__(self, model_dim: int) -> None:
        super().__init__()

    def forward(self, query: Float[Tensor, "b q m"], keys: Float[Tensor, "b k m"]) -> Float[Tensor, "b q k"]:
        """The score of each query with each key."""
        return query @ keys.transpose(1, 2)


class General(Dot):
    """`h_t W h_s` (Luong et al. 2015, eq. 8)."""

    def __init__(self, model_dim: int) -> None:
        super().__init__(model_dim)
        self.of_key = matrix(model_dim, model_dim)

    def keys(self, memory: Float[Tensor, "b k m"]) -> Float[Tensor, "b k m"]:
        """`W h_s`."""
        projected: Tensor = self.of_key(memory)
        return projected


class Additive(Score):
    """`v tanh(W h_t + U h_s)` (Bahdanau et al. 2015, A.1.2).

    With `W` and `U` beside each other as one matrix, it is Luong's concat (Luong et al. 2015, eq. 8).
    """

    def __init__(self, model_dim: int) -> None:
        super().__init__()
        self.of_query = matrix(model_dim, model_dim)
        self.of_key = matrix(model_dim, model_dim)
        self.outer = matrix(model_dim, 1)

    def keys(self, memory: Float[Tensor, "b k m"]) -> Float[Tensor, "b k m"]:
        """`U h_s`."""
        projected: Tensor = self.of_key(memory)
        return projected

    def forward(self, query: Float[Tensor, "b q m"], keys: Float[Tensor, "b k m"]) -> Float[Tensor, "b q k"]:
        """The score of each query with each key; the price is a vector for each pair."""
        pairs = torch.tanh(self.of_query(query)[:, :, None] + keys[:, None])  # b q k m
        scores: Tensor = self.outer(pairs).squeeze(-1)
        return scores


def matrix(of: int, to: int) -> nn.Linear:
    """A product without a bias, which the scores do not have."""
    layer = nn.Linear(of, to, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer
