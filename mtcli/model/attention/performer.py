"""Performer, FAVOR+ (Choromanski et al. 2021): softmax attention estimated by positive orthogonal random features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mtcli.layout import Attend
from mtcli.model.attention.sums import SummedAttention
from mtcli.model.position import Position

HIGHEST = 60.0
"""Exponents of keys end here: e^60 is far enough from fp32's largest number, e^88, to sum over any sentence."""


class PerformerAttention(SummedAttention):
    """`exp(q k / sqrt(d))` is the mean over random `w` of `exp(w q - |q|^2/2) exp(w k - |k|^2/2)` (Lemma 1).

    There, q and k are divided by the fourth root of `d`. All heads share the `features` vectors w, which are drawn
    anew after every `redraw_every` batches of training, 0 never.
    """

    reads = ("features", "redraw_every", "head_dim")

    def __init__(self, features: int, redraw_every: int, head_dim: int) -> None:
        super().__init__()
        self.redraw_every = redraw_every
        self.drawn = Drawn(features, head_dim)

    def forward(
        self,
        query: Float[Tensor, "b h q d"],
        key: Float[Tensor, "b g k d"],
        value: Float[Tensor, "b g k d"],
        attend: Attend,
        position: Position,
    ) -> Float[Tensor, "b h q d"]:
        """Mix the values for all queries; in training, count the batch first."""
        if self.training and self.redraw_every:
            self.drawn.count(self.redraw_every)
        return super().forward(query, key, value, attend, position)

    def query_features(self, query: Float[Tensor, "b h q d"]) -> Float[Tensor, "b h q f"]:
        """Divided by the largest feature of each query, which is then 1 however long the query is."""
        exponents = self.exponents(query)
        return (exponents - exponents.detach().amax(-1, keepdim=True)).exp()

    def key_features(self, key: Float[Tensor, "b g k d"]) -> Float[Tensor, "b g k f"]:
        """As they are.

        A largest key, by which to divide, is not known before the last one: earlier results would then depend on
        later tokens. Nor is it needed: the exponent, `|w|^2/2 - |w - k|^2/2`, is at most about half a head's
        dimensions whatever k is. Only keys so long that all their features vanish, `|k|^2/2 - 3|k| > 87`, count as
        unseen; there the estimate is noise in any case, its variance growing with `exp(|q + k|^2)` (Lemma 2).
        """
        return self.exponents(key).clamp(max=HIGHEST).exp()

    def exponents(self, x: Float[Tensor, "b h n d"]) -> Float[Tensor, "b h n f"]:
        """The logarithms of the features of queries or keys."""
        x = x * x.shape[-1] ** -0.25
        return x @ self.drawn.matrix.to(x.dtype).T - x.square().sum(-1, keepdim=True) / 2


class Drawn(nn.Module):
    """The random vectors, saved with the weights; averaging takes the last ones, going by the name `drawn`.

    Which vectors come next depends on a seed, drawn when the model is made, and on the batches seen since: both are
    saved too, so that a run that was stopped goes on with the vectors that it would have had.
    """

    matrix: Tensor

    def __init__(self, features: int, head_dim: int) -> None:
        super().__init__()
        self.seed = int(torch.randint(2**62, ()))
        self.batches = 0
        self.register_buffer("matrix", orthogonal_gaussian(features, head_dim, self.seed))

    def count(self, redraw_every: int) -> None:
        """Begin another batch, with new vectors if `redraw_every` batches have had the present ones."""
        if self.batches % redraw_every == 0:  # at the first batch, the present ones come again
            # A new tensor: the old one may still be needed by a backward pass.
            features, head_dim = self.matrix.shape
            drawn = orthogonal_gaussian(features, head_dim, self.seed + self.batches // redraw_every)
            self.matrix = drawn.to(self.matrix)
        self.batches += 1

    def get_extra_state(self) -> Tensor:
        """Seed and count; no buffers, which would lie on an accelerator and had to be waited for at every batch."""
        return torch.tensor([self.seed, self.batches])

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from a stored seed and count."""
        self.seed, self.batches = state.tolist()


def orthogonal_gaussian(features: int, dim: int, seed: int) -> Float[Tensor, "f d"]:
    """Rows each of which is a standard Gaussian vector; every `dim` of them are orthogonal (section 2.4)."""
    generator = torch.Generator().manual_seed(seed)
    blocks = -(-features // dim)
    gaussian = torch.randn(blocks, dim, dim, generator=generator, dtype=torch.float64)
    directions, triangle = torch.linalg.qr(gaussian)
    # Without these signs, the first entry of each first row would always be negative (Mezzadri 2007).
    directions = directions * triangle.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]
    others = torch.randn(features, dim, generator=generator, dtype=torch.float64)
    rows: Tensor = directions.mT.flatten(0, 1)[:features] * torch.linalg.vector_norm(others, dim=-1, keepdim=True)
    return rows.float()
