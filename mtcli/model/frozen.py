"""The forms that matrices take when a model only decodes: laid out for the processor, in bf16, in 8-bit integers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from mtcli.device import DTYPE
from mtcli.kernels.int8 import int8_linear, quantised
from mtcli.kernels.packed import multiplies_bf16, packable, packed, packed_linear
from mtcli.model.seq2seq import Seq2Seq


class Frozen(nn.Module, ABC):
    """A matrix that is not trained any more; inputs and outputs have the precision of the rest of the model.

    What it computes with is kept out of the module's parameters, where each look would cost as much as an operation.
    """

    def __init__(self, of: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = of.in_features, of.out_features
        self.whole = self.form(of.weight.detach(), None if of.bias is None else of.bias.detach())
        self.parts = {(0, self.out_features): self.whole}

    @abstractmethod
    def form(self, weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None) -> tuple[Any, ...]:
        """What the matrix is turned into."""

    @abstractmethod
    def cut(self, first: int, last: int) -> tuple[Any, ...]:
        """The same of columns `first` to `last` of the output."""

    @abstractmethod
    def product(self, x: Float[Tensor, "*n i"], form: tuple[Any, ...]) -> Float[Tensor, "*n o"]:
        """The output."""

    def forward(self, x: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        """The whole output."""
        return self.product(x, self.whole)

    def part(self, x: Float[Tensor, "*n i"], first: int, last: int) -> Float[Tensor, "*n p"]:
        """Columns `first` to `last` of the output; the matrix is cut when they are first asked for."""
        form = self.parts.get((first, last))
        if form is None:
            form = self.parts[first, last] = self.cut(first, last)
        return self.product(x, form)


class RoundedLinear(Frozen):
    """Products in bf16 or fp16."""

    def __init__(self, of: nn.Linear, dtype: torch.dtype) -> None:
        self.dtype = dtype
        super().__init__(of)

    def form(self, weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None) -> tuple[Any, ...]:
        """Both in that precision."""
        return weight.to(self.dtype), None if bias is None else bias.to(self.dtype)

    def cut(self, first: int, last: int) -> tuple[Any, ...]:
        """Views."""
        weight, bias = self.whole
        return weight[first:last], None if bias is None else bias[first:last]

    def product(self, x: Float[Tensor, "*n i"], form: tuple[Any, ...]) -> Float[Tensor, "*n o"]:
        """The output."""
        return linear(x.to(self.dtype), *form).to(x.dtype)


class PackedLinear(RoundedLinear):
    """Products in fp32 or bf16 with a matrix laid out for the processor."""

    def form(self, weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None) -> tuple[Any, ...]:
        """A packed matrix."""
        weight, bias = super().form(weight, bias)
        return packed(weight), bias

    def cut(self, first: int, last: int) -> tuple[Any, ...]:
        """A packed matrix of its own."""
        weight, bias = self.whole
        return packed(weight.to_dense()[first:last]), None if bias is None else bias[first:last]

    def product(self, x: Float[Tensor, "*n i"], form: tuple[Any, ...]) -> Float[Tensor, "*n o"]:
        """The output."""
        return packed_linear(x.to(self.dtype), *form).to(x.dtype)


class Int8Linear(Frozen):
    """Products of 8-bit integers."""

    def form(self, weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None) -> tuple[Any, ...]:
        """Integers, the scale of each output, and the bias."""
        rounded, scale = quantised(weight.float())
        return rounded.t(), scale.squeeze(1), bias

    def cut(self, first: int, last: int) -> tuple[Any, ...]:
        """Views."""
        weight, scale, bias = self.whole
        return weight[:, first:last], scale[first:last], None if bias is None else bias[first:last]

    def product(self, x: Float[Tensor, "*n i"], form: tuple[Any, ...]) -> Float[Tensor, "*n o"]:
        """The output."""
        return int8_linear(x, *form)


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


def precision_of_memory(precision: str, device: torch.device) -> torch.dtype | None:
    """The precision in which keys and values are best remembered; None: that of the rest."""
    if precision == "fp32" or (device.type == "cpu" and not multiplies_bf16()):
        return None
    return DTYPE.get(precision, torch.bfloat16)
