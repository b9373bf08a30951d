"""Optimizers, built from settings for a model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.optim import AdamW, Optimizer

from mtcli.settings import TrainingSettings


def adamw(model: nn.Module, settings: TrainingSettings) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019) of what learns; matrices decay, biases and norms do not."""
    return adamw_for(learning(model), settings)


def learning(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that learn."""
    return [p for p in model.parameters() if p.requires_grad]


def adamw_for(parameters: Sequence[nn.Parameter], settings: TrainingSettings) -> AdamW:
    """AdamW for some of a model's parameters."""
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return AdamW(groups, lr=settings.lr, betas=betas, eps=settings.epsilon, fused=True)
