"""Where normalisation stands around a residual branch: `x = residual.join(x, branch(residual.enter(x)))`."""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from mtcli.model.dropout import Dropout


class PreNorm(nn.Module):
    """`x + dropout(branch(norm(x)))` (Xiong et al. 2020); a stack of such blocks ends with a norm of its own."""

    def __init__(self, norm: Callable[[], nn.Module], dropout: float) -> None:
        super().__init__()
        self.norm = norm()
        self.dropout = Dropout(dropout)

    def enter(self, x: Float[Tensor, "b t m"]) -> Float[Tensor, "b t m"]:
        """What the branch reads."""
        normed: Tensor = self.norm(x)
        return normed

    def join(self, x: Float[Tensor, "b t m"], branch: Float[Tensor, "b t m"]) -> Float[Tensor, "b t m"]:
        """What goes on after the branch."""
        joined: Tensor = x + self.dropout(branch)
        return joined

    @staticmethod
    def last(norm: Callable[[], nn.Module]) -> nn.Module:
        """What follows the last block of a stack."""
        return norm()

    @staticmethod
    def gain(layer: int) -> float:
        """What the first values of all matrices in the branches of layer 1, 2, ... are multiplied by."""
        return 1.0


class PostNorm(PreNorm):
    """`norm(x + dropout(branch(x)))` (Vaswani et al. 2017, 3.1).

    Each norm shrinks the gradient of all that lies below it by as much as the branch had enlarged its input. Deep
    stacks train because branches begin the smaller, the higher they stand (DS-Init, Zhang, Titov & Sennrich 2019).
    """

    def enter(self, x: Float[Tensor, "b t m"]) -> Float[Tensor, "b t m"]:
        """What the branch reads."""
        return x

    def join(self, x: Float[Tensor, "b t m"], branch: Float[Tensor, "b t m"]) -> Float[Tensor, "b t m"]:
        """What goes on after the branch."""
        normed: Tensor = self.norm(x + self.dropout(branch))
        return normed

    @staticmethod
    def last(norm: Callable[[], nn.Module]) -> nn.Module:
        """What follows the last block of a stack."""
        return nn.Identity()

    @staticmethod
    def gain(layer: int) -> float:
        """What the first values of all matrices in the branches of layer 1, 2, ... are multiplied by."""
        return 1 / math.sqrt(layer)
