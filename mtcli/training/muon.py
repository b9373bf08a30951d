"""Muon (Jordan et al. 2024) for the matrices between layers, AdamW for all other parameters, as one optimizer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW, Optimizer

from mtcli.model.matrices import matrices
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import TrainingSettings
from mtcli.training.optimizer import adamw_for, learning

MOMENTUM = 0.95


def muon(model: Seq2Seq[Any], settings: TrainingSettings) -> Optimizer:
    """Muon at AdamW's learning rate and weight decay, and AdamW for embeddings, readout, positions, norms and biases.

    Orthogonal matrices are computed in bf16 where training is, else in fp32.
    """
    packed = [(weight, rows) for weight, rows in matrices(model) if weight.requires_grad]
    inside = {weight for weight, _ in packed}
    others = adamw_for([p for p in learning(model) if p not in inside], settings)
    return Muon(packed, others, settings, torch.bfloat16 if settings.precision == "bf16" else torch.float32)


class Muon(Optimizer):
    """Moves matrices along their orthogonal momentum, and lets AdamW move the rest; the matrices are its first group.

    Matrices that lie below each other in one parameter are made orthogonal one by one. Together, the rows of queries
    and keys, whose gradients are small, would move as much less than those of values as their gradients are
    smaller; and that the parts lie in one parameter is only for speed.
    """

    def __init__(
        self, packed: Sequence[tuple[Tensor, list[int]]], adamw: AdamW, settings: TrainingSettings, dtype: torch.dtype
    ) -> None:
        """Take the matrices with the rows of their parts, and the AdamW of the other parameters."""
        defaults = {"lr": settings.lr, "weight_decay": settings.weight_decay}
        super().__init__([{"params": [weight for weight, _ in packed]}], defaults)
        self.param_groups += adamw.param_groups
        self.rows = dict(packed)
        self.adamw = adamw
        self.dtype = dtype
        self.share()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a stored state, by which PyTorch replaces the one that is shared."""
        super().__setstate__(state)
        self.share()

    def share(self) -> None:
        """Let AdamW have this optimizer's state, and all groups but the first."""
        self.adamw.state, self.adamw.param_groups = self.state, self.param_groups[1:]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        assert closure is None
        group = self.param_groups[0]
        weights = [weight for weight in group["params"] if weight.grad is not None]
        parts = [pair for weight in weights for pair in self.split(weight, self.ahead(weight))]
        for weight in weights:
            weight.mul_(1 - group["lr"] * group["weight_decay"])
        for pairs in alike(parts):
            directions = orthogonal(torch.stack([wanted for _, wanted in pairs]).to(self.dtype))
            # Elements move about as far as AdamW's (Liu et al. 2025, "Muon is scalable for LLM training", eq. 4).
            scale = 0.2 * max(directions.shape[1:]) ** 0.5
            for (part, _), direction in zip(pairs, directions, strict=True):
                part.sub_(direction, alpha=group["lr"] * scale)
        self.adamw.step()

    def ahead(self, weight: Tensor) -> Tensor:
        """Take a gradient into the momentum, and look one step ahead of it, as Nesterov does."""
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        momentum = state["momentum_buffer"].lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(momentum, MOMENTUM)

    def split(self, weight: Tensor, wanted: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        """The parts of a parameter and of where it is to go, each lying, not standing."""
        rows = self.rows[weight]
        return zip(*(map(lying, torch.split(whole, rows)) for whole in (weight, wanted)), strict=True)


def lying(matrix: Float[Tensor, "m n"]) -> Tensor:
    """The matrix, or its transpose if that has fewer rows."""
    return matrix.mT if len(matrix) > matrix.shape[1] else matrix


def alike(pairs: Iterable[tuple[Tensor, Tensor]]) -> Iterable[list[tuple[Tensor, Tensor]]]:
    """Groups of equal shape, to be computed together: one by one they are hundreds of small products."""
    groups = defaultdict(list)
    for pair in pairs:
        groups[pair[0].shape].append(pair)
    return groups.values()


def orthogonal(x: Float[Tensor, "k m n"]) -> Float[Tensor, "k m n"]:
    """Roughly the nearest orthogonal matrix to each, singular values from 0.7 to 1.2 (Jordan et al. 2024, "Muon").

    Five steps of `X <- a X + (b A + c A A) X` with `A = X X^T`, a quintic Newton-Schulz iteration.
    """
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x
