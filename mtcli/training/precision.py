"""Mixed precision as one object: autocast, backward, and unscale -> clip -> step -> update, always in that order."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from mtcli.device import DTYPE, PrecisionName


class Precision:
    """Runs forward, backward and update in one precision; fp16 with gradient scaling (Micikevicius et al. 2018)."""

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self.name = name
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[None]:
        """Inside, products are taken in this precision; parameters stay fp32."""
        return torch.autocast(self.device.type, dtype=DTYPE[self.name], enabled=self.name != "fp32")

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`, scaled if need be."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def update(self, model: nn.Module, optimizer: Optimizer, clip: float) -> float:
        """Take one optimizer step unless a gradient is not finite; return their norm before clipping."""
        norm = self.clipped(model, optimizer, clip)
        finite = bool(norm.isfinite())
        if finite:
            self.scaler.step(optimizer)
        self.scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return norm.item()

    def clipped(self, model: nn.Module, optimizer: Optimizer, clip: float) -> Float[Tensor, ""]:
        """Clip the gradients, after undoing their scale; return their norm before."""
        self.scaler.unscale_(optimizer)
        parameters = [p for p in model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if hasattr(norm, "full_tensor"):  # a DTensor, whose import takes a second, of gradients in several ranks
            norm = norm.full_tensor()
        if clip:
            nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        return norm

    @property
    def searching(self) -> bool:
        """Whether gradients that overflowed may be the fault of their scale, which is halved then, and not the run's.

        A scale starts at 65,536, far too high for some models: several updates in a row are the normal price.
        """
        return self.scaler.is_enabled() and self.scaler.get_scale() >= 1

    @property
    def scale(self) -> float | None:
        """What losses are multiplied by before the backward pass; None where they are not."""
        return self.scaler.get_scale() if self.scaler.is_enabled() else None

    def state(self) -> dict[str, Any]:
        """The scale and its history, as JSON values."""
        return self.scaler.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with a stored scale."""
        if state:
            self.scaler.load_state_dict(state)
