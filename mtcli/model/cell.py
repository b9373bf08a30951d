"""Recurrent cells: PyTorch's own, over whole sequences at once or one token at a time with the same weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mtcli.model.dropout import Dropout

CellState = tuple[Float[Tensor, "n m"], ...]
"""What one layer hands on to the next token, its output first."""


class Cell(nn.Module, ABC):
    """One recurrent layer.

    Recurrent matrices start orthogonal (Saxe et al. 2014), those of the input as Glorot & Bengio 2010, gate by gate.
    """

    gates: ClassVar[int]
    """Matrices beside each other in a weight."""
    parts: ClassVar[int]
    """Tensors in its state."""
    kind: ClassVar[type[nn.GRU] | type[nn.LSTM]]
    """PyTorch's layer."""

    def __init__(self, input_dim: int, output_dim: int) -> None:
        super().__init__()
        self.layer = self.kind(input_dim, output_dim, batch_first=True)
        of_input, of_past, *biases = self.weights
        for gate in of_input.chunk(self.gates):
            nn.init.xavier_uniform_(gate)
        for gate in of_past.chunk(self.gates):
            nn.init.orthogonal_(gate)
        for bias in biases:
            nn.init.zeros_(bias)

    @property
    def weights(self) -> list[nn.Parameter]:
        """The matrices of the input and of the past, and the biases of both; gates below each other."""
        return self.layer.all_weights[0]

    def forward(self, x: Float[Tensor, "n t i"], state: CellState | None = None) -> Float[Tensor, "n t m"]:
        """The outputs at all tokens, from a state or from zeros."""
        if not x.is_cuda:
            # oneDNN's LSTM refuses fp32 input where autocast asks for fp16.
            lowered = torch.is_autocast_enabled(x.device.type)
            return self.run(x.to(torch.get_autocast_dtype(x.device.type)) if lowered else x, state)
        with torch.autocast("cuda", enabled=False):
            return self.run(x.to(self.weights[0].dtype), state)

    def step(self, x: Float[Tensor, "n i"], state: CellState) -> CellState:
        """The state after one more token."""
        if not x.is_cuda:
            return self.advance(x, state)
        # Autocast takes cuDNN's layers to fp16 even where bf16 is asked for, and nothing scales gradients then; and a
        # state is a running sum. So on a GPU recurrences keep the parameters' precision, over sequences and here.
        with torch.autocast("cuda", enabled=False):
            return self.advance(x.to(self.weights[0].dtype), state)

    @abstractmethod
    def run(self, x: Float[Tensor, "n t i"], state: CellState | None) -> Float[Tensor, "n t m"]:
        """`forward` in a precision that is settled."""

    @abstractmethod
    def advance(self, x: Float[Tensor, "n i"], state: CellState) -> CellState:
        """`step` in a precision that is settled."""


class Gru(Cell):
    """A gated recurrent unit (Cho et al. 2014, eqs. 5 to 8).

    As in cuDNN, the reset gate stands after the recurrent product, not before it.
    """

    kind, gates, parts = nn.GRU, 3, 1

    def run(self, x: Float[Tensor, "n t i"], state: CellState | None) -> Float[Tensor, "n t m"]:
        """`forward` in a precision that is settled."""
        outputs: Tensor = self.layer(x, state[0][None] if state else None)[0]
        return outputs

    def advance(self, x: Float[Tensor, "n i"], state: CellState) -> CellState:
        """`step` in a precision that is settled."""
        # On a CPU up to twice as fast as the layer over a sequence of one.
        return (torch.gru_cell(x, state[0], *self.weights),)


class Lstm(Cell):
    """A long short-term memory (Hochreiter & Schmidhuber 1997) with forget gates (Gers et al. 2000).

    They start open, with a bias of 1 (Jozefowicz et al. 2015).
    """

    kind, gates, parts = nn.LSTM, 4, 2

    def __init__(self, input_dim: int, output_dim: int) -> None:
        super().__init__(input_dim, output_dim)
        nn.init.ones_(self.weights[2].chunk(self.gates)[1])  # input, forget, content, output

    def run(self, x: Float[Tensor, "n t i"], state: CellState | None) -> Float[Tensor, "n t m"]:
        """`forward` in a precision that is settled."""
        outputs: Tensor = self.layer(x, (state[0][None], state[1][None]) if state else None)[0]
        return outputs

    def advance(self, x: Float[Tensor, "n i"], state: CellState) -> CellState:
        """`step` in a precision that is settled."""
        return tuple(torch.lstm_cell(x, state, *self.weights))


class Stack(nn.Module):
    """Cells on top of each other, with dropout between them (Zaremba et al. 2014)."""

    def __init__(self, cells: list[Cell], dropout: float) -> None:
        super().__init__()
        self.cells: Sequence[Cell] = nn.ModuleList(cells)  # type: ignore[assignment]
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "n t i"], state: tuple[CellState, ...]) -> Float[Tensor, "n t m"]:
        """The outputs of the top at all tokens."""
        for place, (cell, before) in enumerate(zip(self.cells, state, strict=True)):
            x = cell(self.dropout(x) if place else x, before)
        return x

    def step(
        self, x: Float[Tensor, "n i"], state: tuple[CellState, ...]
    ) -> tuple[Float[Tensor, "n m"], tuple[CellState, ...]]:
        """The output of the top at one more token, and the state after it."""
        after: list[CellState] = []
        for place, (cell, before) in enumerate(zip(self.cells, state, strict=True)):
            after.append(cell.step(self.dropout(x) if place else x, before))
            x = after[-1][0]
        return x, tuple(after)
