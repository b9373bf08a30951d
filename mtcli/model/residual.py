"""Where normalisation stands around a residual branch: `x = residual.join(x, branch(residual.enter(x)))`."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from mtcli.model.dropout import Dropout
from mtcli.settings import ModelSettings


class PreNorm(nn.Module):
    """`x + dropout(branch(norm(x)))` (Xiong et al. 2020); a stack of such blocks ends with a norm of its own."""

    gain: float = 1.0
    """What a branch's initial values and outputs are multiplied by."""

    def __init__(self, norm: Callable[[], nn.Module], dropout: float) -> None:
        super().__init__()
        self.norm = norm()
        self.dropout = Dropout(dropout)

    @classmethod
    def directed(cls, settings: ModelSettings, norm: Callable[[], nn.Module], causal: bool) -> PreNorm:
        """A residual of the encoder, or, if `causal`, of the decoder."""
        return cls(norm, settings.dropout)

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


class PostNorm(PreNorm):
    """`norm(x + dropout(branch(x)))` (Vaswani et al. 2017, 3.1)."""

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


class DeepNorm(PostNorm):
    """`norm(alpha x + dropout(branch(x)))`, which also trains a hundred layers (Wang et al. 2022, figure 2).

    `alpha` grows with the number of layers and the branches begin smaller, so that one update changes the model as
    little as it changes a shallow one.
    """

    def __init__(self, norm: Callable[[], nn.Module], dropout: float, alpha: float, gain: float) -> None:
        super().__init__(norm, dropout)
        self.alpha = alpha
        self.gain = gain

    @classmethod
    def directed(cls, settings: ModelSettings, norm: Callable[[], nn.Module], causal: bool) -> DeepNorm:
        """A residual of the encoder, or, if `causal`, of the decoder, by their numbers of layers."""
        encoders, decoders = settings.encoder_layers, settings.decoder_layers
        if causal:
            return cls(norm, settings.dropout, alpha=(3 * decoders) ** 0.25, gain=(12 * decoders) ** -0.25)
        depth = (encoders**4 * decoders) ** (1 / 16)
        return cls(norm, settings.dropout, alpha=0.81 * depth, gain=0.87 / depth)

    def join(self, x: Float[Tensor, "b t m"], branch: Float[Tensor, "b t m"]) -> Float[Tensor, "b t m"]:
        """What goes on after the branch."""
        return super().join(self.alpha * x, branch)
