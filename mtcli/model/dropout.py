"""Dropout as a layer, over the fast masks of `kernels.dropout`."""

from __future__ import annotations

from torch import Tensor, nn

from mtcli.kernels.dropout import dropout


class Dropout(nn.Module):
    """Zero each element with probability `p` while training, and scale the others by `1 / (1 - p)`."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """The thinned tensor; `x` itself when not training."""
        return dropout(x, self.p) if self.training and self.p else x
