"""A matrix that can compute a part of its output."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear


class Linear(nn.Linear):
    """`x W^T + b`, where W may be several matrices with so many `outputs` each, one below the other."""

    def __init__(self, inputs: int, *outputs: int) -> None:
        super().__init__(inputs, sum(outputs))
        self.outputs = outputs

    def part(self, x: Float[Tensor, "*n i"], first: int, last: int) -> Float[Tensor, "*n p"]:
        """Columns `first` to `last` of the output."""
        return linear(x, self.weight[first:last], None if self.bias is None else self.bias[first:last])
