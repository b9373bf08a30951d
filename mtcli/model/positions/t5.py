"""T5's relative position bias (Raffel et al. 2020, 2.1): a number for each head and each bucket of offsets."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.model.position import Position, of_heads
from mtcli.settings import ModelSettings


class T5(Position):
    """One table for all layers of a stack; where tokens see both directions, each has half of the buckets."""

    reads = ("heads", "relative_buckets", "relative_distance")
    changes_logits = True
    buckets: Tensor

    def __init__(self, heads: int, relative_buckets: int, relative_distance: int, causal: bool) -> None:
        super().__init__()
        self.distance = relative_distance
        self.table = nn.Parameter(torch.empty(relative_buckets, heads))
        nn.init.xavier_uniform_(self.table)
        offsets = torch.arange(-relative_distance, relative_distance + 1)
        self.register_buffer(
            "buckets", bucket(offsets, relative_buckets, relative_distance, causal), persistent=False
        )

    @classmethod
    def directed(cls, settings: ModelSettings, causal: bool) -> T5:
        """The encoding of a stack in which tokens see each other, or, if `causal`, only their past."""
        return cls(settings.heads, settings.relative_buckets, settings.relative_distance, causal)

    @classmethod
    def reasons(cls, settings: ModelSettings) -> Iterator[str]:
        """An odd number of buckets has no halves; logarithmic buckets begin where the exact ones end."""
        buckets, distance = settings.relative_buckets, settings.relative_distance
        if buckets % 2:
            yield f"{buckets} t5 buckets cannot be shared evenly by two directions; change --relative-buckets"
        if distance <= buckets // 2:
            yield (
                f"half of {buckets} t5 buckets hold one distance each, so that --relative-distance"
                f" must be above {buckets // 2}, not {distance}"
            )

    def bias(
        self, query: Float[Tensor, "b h *n q d"], offsets: Int[Tensor, "*#n q k"]
    ) -> Float[Tensor, "1 h *#n q k"]:
        """The number of each head for each offset."""
        places = (offsets.clamp(-self.distance, self.distance) + self.distance).flatten()
        by_offset = self.table[self.buckets].T
        found = by_offset.gather(1, places.expand(len(by_offset), -1))  # h o -> h (q k)
        return of_heads(found.view(-1, *offsets.shape), query)


def bucket(offsets: Int[Tensor, " o"], buckets: int, distance: int, causal: bool) -> Int[Tensor, " o"]:
    """Half of a direction's buckets hold one distance each, the others ever more; from `distance` on all are one.

    Where tokens see the future too, the second half of the buckets is for offsets above 0.
    """
    far, start = -offsets.clamp(max=0), torch.zeros_like(offsets)
    if not causal:
        buckets //= 2
        far, start = offsets.abs(), (offsets > 0) * buckets
    exact = buckets // 2
    growth = (far.clamp(min=1).double() / exact).log() / math.log(distance / exact)
    # 1e-9: where a bucket begins at a whole number, rounding must not put that number into the bucket before
    large = exact + (growth * (buckets - exact) + 1e-9).long()
    return start + torch.where(far < exact, far, large.clamp(max=buckets - 1))
