"""Relative position representations (Shaw et al. 2018): a vector for each clipped offset, for keys and for values."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.model.position import Position


class Shaw(Position):
    """Vectors of offsets from `-clip_distance` to `clip_distance`, added to keys and values; all heads share them.

    Neither sum is formed: the products with keys and values are linear in them.
    """

    reads = ("head_dim", "clip_distance")
    shared = False
    changes_logits = True
    changes_values = True

    def __init__(self, head_dim: int, clip_distance: int) -> None:
        super().__init__()
        self.clip_distance = clip_distance
        self.of_keys = nn.Parameter(torch.empty(2 * clip_distance + 1, head_dim))
        self.of_values = nn.Parameter(torch.empty(2 * clip_distance + 1, head_dim))
        nn.init.xavier_uniform_(self.of_keys)
        nn.init.xavier_uniform_(self.of_values)

    def bias(
        self, query: Float[Tensor, "b h *n q d"], offsets: Int[Tensor, "*#n q k"]
    ) -> Float[Tensor, "b h *n q k"]:
        """`q_i . a^K_ij / sqrt(d)` (eq. 4): each query times every vector once, looked up by offset."""
        products = query @ self.of_keys.T * query.shape[-1] ** -0.5
        found: Tensor = products.gather(-1, self.places(offsets, products))
        return found

    def values(
        self, weights: Float[Tensor, "b h *n q k"], offsets: Int[Tensor, "*#n q k"]
    ) -> Float[Tensor, "b h *n q d"]:
        """`sum_j alpha_ij a^V_ij` (eq. 3): the weights of equal vectors are summed before the product."""
        # fp32: many small weights meet in the outermost vectors
        wide = torch.promote_types(weights.dtype, torch.float32)
        sums = weights.new_zeros(*weights.shape[:-1], len(self.of_values), dtype=wide)
        sums = sums.scatter_add(-1, self.places(offsets, sums), weights.to(wide))
        return sums.to(weights.dtype) @ self.of_values

    def places(self, offsets: Int[Tensor, "*#n q k"], like: Float[Tensor, "b h *n q r"]) -> Int[Tensor, "b h *n q k"]:
        """Where in the tables the vector of each offset is (eq. 5)."""
        clipped = offsets.clamp(-self.clip_distance, self.clip_distance) + self.clip_distance
        return clipped.expand(*like.shape[:-1], offsets.shape[-1])
