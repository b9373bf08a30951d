"""Optimizers, built from settings for a model."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW, Optimizer

from mtcli.settings import TrainingSettings


def adamw(model: nn.Module, settings: TrainingSettings) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019) of what learns; matrices decay, biases and norms do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return AdamW(groups, lr=settings.lr, betas=betas, eps=settings.epsilon, fused=True)
