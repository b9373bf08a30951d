"""A matrix that can compute a part of its output."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear


class Linear(nn.Linear):
    """`x W^T + b`."""

    def part(self, x: Float[Tensor, "*n i"], first: int, last: int) -> Float[Tensor, "*n p"]:
        """Columns `first` to `last` of the output."""
        return linear(x, self.weight[first:last], None if self.bias is None else self.bias[first:last])
