"""What is left out at random while training: elements, whole words, whole blocks."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.kernels.dropout import dropout
from mtcli.layout import BOS, EOS


class Dropout(nn.Module):
    """Zero each element with probability `p` while training, and scale the others by `1 / (1 - p)`."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """The thinned tensor; `x` itself when not training."""
        return dropout(x, self.p) if self.training and self.p else x


class WordDropout(nn.Module):
    """Zero the whole vector of each token with probability `p` while training (Gal & Ghahramani 2016, 4.2).

    Each occurrence for itself, as Sennrich et al. 2016 (WMT16) did for translation, where Gal & Ghahramani drop all
    those of a word in a sentence. Nothing is rescaled: a token's place stays known, so that a zero says that a word
    is missing, and the others must look as in decoding, where none is. BOS and EOS are not words.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, vectors: Float[Tensor, "b t m"], tokens: Int[Tensor, "b t"]) -> Float[Tensor, "b t m"]:
        """The vectors of those tokens; as they were when not training."""
        if not (self.training and self.p):
            return vectors
        dropped = torch.rand(tokens.shape, device=tokens.device) < self.p
        return vectors.masked_fill((dropped & (tokens != BOS) & (tokens != EOS))[..., None], 0.0)


class LayerDropout(nn.Module):
    """Skip a block as a whole, for a batch, with probability `p` while training (LayerDrop, Fan et al. 2020).

    When decoding all blocks are there; as in the paper, nothing is rescaled.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, block: nn.Module, x: Float[Tensor, "b t m"], *given: Any) -> Float[Tensor, "b t m"]:
        """What `block` makes of `x` and what it is given beside it, or `x`."""
        # The choice is made on the processor: an accelerator would have to be waited for.
        if not (self.training and self.p and torch.rand(()).item() < self.p):
            passed: Tensor = block(x, *given)
            return passed
        read = [each for each in given if isinstance(each, Tensor)]
        skipped: Tensor = Skip.apply(x, *read, *block.parameters())  # type: ignore[no-untyped-call]
        return skipped


class Skip(torch.autograd.Function):
    """The first argument; the others, all else that a skipped block would have used, have gradients of zero.

    That is what this step's loss has. Without any, an optimizer would pass over such parameters: its moments would
    be those of the steps in which they were used, not those of the loss that is minimised, a mean over all skips.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *unused: Tensor) -> Tensor:
        """Hand on `x`."""
        ctx.save_for_backward(*unused)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        """Hand on its gradient."""
        return grads[0], *map(torch.zeros_like, ctx.saved_tensors)
