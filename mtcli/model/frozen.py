"""The forms that matrices take when a model only decodes: laid out for the processor, in bf16, in 8-bit integers."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from mtcli.device import DTYPE
from mtcli.kernels.int8 import int8_linear, quantised
from mtcli.kernels.packed import packable, packed, packed_linear
from mtcli.model.seq2seq import Seq2Seq


class Frozen(nn.Module):
    """A matrix that is not trained any more; inputs and outputs have the precision of the rest of the model."""

    bias: Tensor | None

    def __init__(self, of: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = of.in_features, of.out_features
        self.register_buffer("bias", None if of.bias is None else of.bias.detach())

    def forward(self, x: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        """The whole output."""
        return self.part(x, 0, self.out_features)

    def part(self, x: Float[Tensor, "*n i"], first: int, last: int) -> Float[Tensor, "*n p"]:
        """Columns `first` to `last` of the output."""
        raise NotImplementedError

    def bias_of(self, first: int, last: int) -> Float[Tensor, " p"] | None:
        """The biases of columns `first` to `last`."""
        return None if self.bias is None else self.bias[first:last]


class RoundedLinear(Frozen):
    """Products in bf16 or fp16."""

    weight: Tensor

    def __init__(self, of: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__(of)
        self.register_buffer("weight", of.weight.detach().to(dtype))
        self.bias = None if self.bias is None else self.bias.to(dtype)

    def part(self, x: Float[Tensor, "*n i"], first: int, last: int) -> Float[Tensor, "*n p"]:
        """Columns `first` to `last` of the output."""
        product = linear(x.to(self.weight.dtype), self.weight[first:last], self.bias_of(first, last))
        return product.to(x.dtype)


class PackedLinear(Frozen):
    """Products in fp32 or bf16 with a matrix laid out for the processor; a part is laid out when first asked for."""

    def __init__(self, of: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__(of)
        self.dtype = dtype
        self.bias = None if self.bias is None else self.bias.to(dtype)
        self.whole = packed(of.weight.detach().to(dtype))
        self.parts = {(0, self.out_features): self.whole}

    def part(self, x: Float[Tensor, "*n i"], first: int, last: int) -> Float[Tensor, "*n p"]:
        """Columns `first` to `last` of the output."""
        weight = self.parts.get((first, last))
        if weight is None:
            weight = self.parts[first, last] = packed(self.whole.to_dense()[first:last])
        return packed_linear(x.to(self.dtype), weight, self.bias_of(first, last)).to(x.dtype)


class Int8Linear(Frozen):
    """Products of 8-bit integers."""

    weight: Tensor
    scale: Tensor

    def __init__(self, of: nn.Linear) -> None:
        super().__init__(of)
        weight, scale = quantised(of.weight.detach().float())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.squeeze(1))

    def part(self, x: Float[Tensor, "*n i"], first: int, last: int) -> Float[Tensor, "*n p"]:
        """Columns `first` to `last` of the output."""
        rows = x.reshape(-1, self.in_features)
        product = int8_linear(rows, self.weight[first:last], self.scale[first:last], self.bias_of(first, last))
        return product.view(*x.shape[:-1], last - first)


def freeze(model: Seq2Seq[Any], precision: str, device: torch.device) -> None:
    """Give all matrices the form in which they decode fastest in a precision; the rest of the model stays as it is.

    Afterwards the model cannot learn, and has no weights to store.
    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, frozen(child, precision, device))


def frozen(matrix: nn.Linear, precision: str, device: torch.device) -> nn.Module:
    """One matrix in that form."""
    if precision == "int8":
        return Int8Linear(matrix)
    dtype = DTYPE[precision]
    if device.type == "cpu" and packable(dtype):
        return PackedLinear(matrix, dtype)
    return matrix if precision == "fp32" else RoundedLinear(matrix, dtype)
