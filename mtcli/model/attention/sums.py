"""Attention through sums over the keys: `phi(q) (sum phi(k)^T v) / phi(q) (sum phi(k)^T)`, for any feature map phi.

The sums do not depend on the query (Katharopoulos et al. 2020, eq. 5): time and memory are linear in the tokens, and
a decoder carries the sums over its past however long it is (section 3.4). Weights of pairs are formed only to
be shown.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from mtcli.kernels.causal_linear import causal_product, precise
from mtcli.layout import Attend, Rows
from mtcli.model.attention.mechanism import Mechanism, Past
from mtcli.model.attention.softmax import widen
from mtcli.model.position import Position

NOTHING = 1e-30
"""Stands for a sum of weights that is 0 or lost in fp32. Larger than the smallest number, 1e-38, by so much that
dividing a gradient by it does not overflow; smaller than any sum that means something, which it leaves as it is."""


@dataclass(frozen=True)
class Sums(Past):
    """For each feature of the keys, the sum of their values, and in the last column the sum of their ones."""

    total: Float[Tensor, "n g f e"]

    def select(self, rows: Int[Tensor, " r"]) -> Sums:
        """The sums with row `rows[i]` as row `i`."""
        return Sums(self.total.index_select(0, rows))


class SummedAttention(Mechanism):
    """Weights that are products of features of a query and features of a key, all of them positive.

    Features and sums are in fp32 at least, under autocast too.
    """

    supports_bias = False
    supports_weights = True

    @abstractmethod
    def query_features(self, query: Float[Tensor, "b h q d"]) -> Float[Tensor, "b h q f"]:
        """The features of queries, up to a factor of each query: it cancels."""

    @abstractmethod
    def key_features(self, key: Float[Tensor, "b g k d"]) -> Float[Tensor, "b g k f"]:
        """The features of keys, up to a factor that all keys share."""

    def forward(
        self,
        query: Float[Tensor, "b h q d"],
        key: Float[Tensor, "b g k d"],
        value: Float[Tensor, "b g k d"],
        attend: Attend,
        position: Position,
    ) -> Float[Tensor, "b h q d"]:
        """Mix the values for all queries."""
        if not attend.causal:
            return self.look(query, self.remember(key, value, attend.keys), attend.keys)
        # Padding stands at the end, so that no real query sees it; what padded queries see is never read.
        with torch.autocast(query.device.type, enabled=False):
            asking, known = self.query_features(precise(query)), self.key_features(precise(key))
            sums = causal_product(asking, widen(known, asking), counted(widen(value, query)))
            return quotient(sums).to(query.dtype)

    def step(
        self,
        query: Float[Tensor, "n h 1 d"],
        key: Float[Tensor, "n g 1 d"],
        value: Float[Tensor, "n g 1 d"],
        past: Past | None,
        position: Position,
    ) -> tuple[Float[Tensor, "n h 1 d"], Sums]:
        """Mix the values of the past and of this token; the sums grow by this token."""
        assert past is None or isinstance(past, Sums)
        total = self.sum(key, counted(value))
        sums = Sums(past.total + total if past else total)
        return self.ask(query, sums), sums

    def remember(self, key: Float[Tensor, "b g k d"], value: Float[Tensor, "b g k d"], rows: Rows) -> Sums:
        """The sums over each row's real keys."""
        return Sums(self.sum(key, counted(value) * rows.valid[:, None, :, None]))

    def look(self, query: Float[Tensor, "b h q d"], memory: Past, rows: Rows) -> Float[Tensor, "b h q d"]:
        """Mix the memory's values for queries without an order."""
        assert isinstance(memory, Sums)
        return self.ask(query, memory)

    def weights(
        self, query: Float[Tensor, "b h q d"], key: Float[Tensor, "b g k d"], rows: Rows
    ) -> Float[Tensor, "b h q k"]:
        """The products of features, divided by their sum: time and memory for all pairs."""
        with torch.autocast(query.device.type, enabled=False):
            asking, known = self.query_features(precise(query)), self.key_features(precise(key))
            products = asking @ widen(known, asking).transpose(-1, -2) * rows.valid[:, None, None]
            return products / products.sum(-1, keepdim=True).clamp(min=NOTHING)

    def sum(self, key: Float[Tensor, "b g k d"], value: Float[Tensor, "b g k e"]) -> Float[Tensor, "b g f e"]:
        """The sums over all these keys."""
        with torch.autocast(key.device.type, enabled=False):
            return self.key_features(precise(key)).transpose(-1, -2) @ value

    def ask(self, query: Float[Tensor, "b h q d"], sums: Sums) -> Float[Tensor, "b h q d"]:
        """Mix what is in the sums; heads of queries that share sums ask them together."""
        with torch.autocast(query.device.type, enabled=False):
            asking = self.query_features(precise(query))
            together = asking.reshape(*sums.total.shape[:2], -1, asking.shape[-1])  # b h q f -> b g (h/g q) f
            mixed = quotient(together @ sums.total)
            return mixed.reshape(query.shape).to(query.dtype)


def counted(value: Float[Tensor, "b g k d"]) -> Float[Tensor, "b g k e"]:
    """Values with a 1 beside each, so that numerator and denominator are one product."""
    return F.pad(precise(value), (0, 1), value=1.0)


def quotient(sums: Float[Tensor, "b h q e"]) -> Float[Tensor, "b h q d"]:
    """Weighted sums of values divided by the sum of their weights; finite and meaningless where there are none."""
    return sums[..., :-1] / sums[..., -1:].clamp(min=NOTHING)
