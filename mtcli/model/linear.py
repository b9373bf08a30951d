"""Matrices that know how to compute a part of their output, in fp32 or, for decoding on a CPU, with 8-bit weights."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from mtcli.kernels.int8 import int8_linear, quantised
from mtcli.model.seq2seq import Seq2Seq


class Linear(nn.Linear):
    """`x W^T + b`."""

    def part(self, x: Float[Tensor, "*n i"], first: int, last: int | None) -> Float[Tensor, "*n p"]:
        """Columns `first` to `last` of the output."""
        return linear(x, self.weight[first:last], self.bias[first:last])


class Int8Linear(nn.Module):
    """The same with rounded weights and inputs; for inference only."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, of: nn.Linear) -> None:
        super().__init__()
        self.out_features = of.out_features
        weight, scale = quantised(of.weight.detach().float())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.squeeze(1))
        self.register_buffer("bias", None if of.bias is None else of.bias.detach().float())

    def forward(self, x: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        """The whole output."""
        return self.part(x, 0, None)

    def part(self, x: Float[Tensor, "*n i"], first: int, last: int | None) -> Float[Tensor, "*n p"]:
        """Columns `first` to `last` of the output."""
        bias = None if self.bias is None else self.bias[first:last]
        product = int8_linear(x.reshape(-1, x.shape[-1]), self.weight[first:last], self.scale[first:last], bias)
        return product.view(*x.shape[:-1], product.shape[-1])


def quantise(model: Seq2Seq[Any]) -> None:
    """Round the weights of all matrices; embeddings, norms and recurrent cells stay as they are."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Int8Linear(child))
