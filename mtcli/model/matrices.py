"""The matrices of a model that map vectors to vectors: not its embeddings, its readout, or tables of positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from mtcli.model.cell import Cell
from mtcli.model.linear import Linear
from mtcli.model.seq2seq import Seq2Seq


def matrices(model: Seq2Seq[Any]) -> Iterator[tuple[Tensor, list[int]]]:
    """Each of them, with the rows of those that it has below each other: queries, keys and values; gates."""
    for module in model.modules():
        match module:
            case Linear():
                yield module.weight, [*module.outputs]
            case nn.Linear() if module is not model.output:
                yield module.weight, [module.out_features]
            case Cell():
                for weight in module.weights[:2]:
                    yield weight, [len(weight) // module.gates] * module.gates
