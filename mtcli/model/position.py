"""How a model knows the order of tokens; an encoding overrides one of the four hooks of `Position`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.layout import Places
from mtcli.model.choice import Choice
from mtcli.settings import ModelSettings


class Position(Choice, nn.Module):
    """No positional encoding, and the hooks through which one enters: embeddings, queries and keys, logits, values.

    Tokens stand at positions `where`, `where + 1`, ..., or, of several sentences end to end, at the places in it. An
    offset is key position minus query position. Between heads and queries there may be further dimensions, `*n`.
    """

    shared: ClassVar[bool] = True
    """Whether all layers of a stack have one encoding, or each its own."""
    rotates: ClassVar[bool] = False
    """Whether it turns queries and keys."""
    changes_logits: ClassVar[bool] = False
    """Whether it has a bias; such an encoding needs a mechanism that forms attention logits."""
    changes_values: ClassVar[bool] = False
    """Whether it adds to the mixed values, for which attention weights are needed."""

    @classmethod
    def directed(cls, settings: ModelSettings, causal: bool) -> Position:
        """The encoding of a stack in which tokens see each other, or, if `causal`, only their past."""
        return cls.of(settings)

    @classmethod
    def reasons(cls, settings: ModelSettings) -> Iterator[str]:
        """Why these settings allow no such encoding."""
        yield from ()

    def embed(self, x: Float[Tensor, "b t m"], where: int | Places) -> Float[Tensor, "b t m"]:
        """Change token embeddings that stand there."""
        return x

    def turn(self, where: int | Places, count: int) -> Float[Tensor, "t i 2"]:
        """Cosine and sine of the angles by which pairs of numbers turn there; asked only where it `rotates`."""
        raise NotImplementedError

    def rotate(self, x: Float[Tensor, "b h t d"], where: int | Places) -> Float[Tensor, "b h t d"]:
        """Change queries or keys that stand there."""
        return x

    def bias(
        self, query: Float[Tensor, "b h *n q d"], offsets: Int[Tensor, "*#n q k"]
    ) -> Float[Tensor, "#b h *#n q k"] | None:
        """What to add to attention logits."""
        return None

    def values(
        self, weights: Float[Tensor, "b h *n q k"], offsets: Int[Tensor, "*#n q k"]
    ) -> Float[Tensor, "b h *n q d"]:
        """What to add to the mixed values; asked only where `changes_values`."""
        raise NotImplementedError


class Sinusoidal(Position):
    """Sines and cosines of geometrically growing wavelengths, added to the embeddings (Vaswani et al. 2017, 3.5)."""

    reads = ("model_dim",)
    table: Tensor

    def __init__(self, model_dim: int) -> None:
        super().__init__()
        self.model_dim = model_dim
        self.register_buffer("table", sinusoids(512, model_dim), persistent=False)

    def embed(self, x: Float[Tensor, "b t m"], where: int | Places) -> Float[Tensor, "b t m"]:
        """Add the waves; the table grows when a sentence is longer than any before."""
        last = end(where, x.shape[1])
        if last > len(self.table):
            self.table = sinusoids(2 * last, self.model_dim).to(self.table.device)
        return x + looked_up(self.table, where, x.shape[1]).to(x.dtype)


def end(where: int | Places, count: int) -> int:
    """All positions of `count` tokens are below it."""
    return where.end if isinstance(where, Places) else where + count


def looked_up(table: Float[Tensor, "p *x"], where: int | Places, count: int) -> Float[Tensor, "t *x"]:
    """What a table has for the positions of `count` tokens."""
    return table[where.index] if isinstance(where, Places) else table[where : where + count]


def sinusoids(length: int, dim: int) -> Float[Tensor, "t m"]:
    """`sin(t / 10000^(2i/dim))` in column 2i and the cosine of the same angle in column 2i + 1."""
    angle = angles(length, dim, 10000.0)
    waves = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)  # t i 2 -> t m
    return waves[:, :dim].float()


def angles(length: int, dim: int, base: float) -> Float[Tensor, "t i"]:
    """`t / base^(2i/dim)`: the angle of each position in each wave, two columns to a wave."""
    # float64: at position 5,000 an fp32 angle is off by 3e-4, more than neighbouring positions differ in slow waves
    position = torch.arange(length, dtype=torch.float64)
    frequency = torch.exp(torch.arange(0, dim, 2, dtype=torch.float64) * (-math.log(base) / dim))
    return position[:, None] * frequency


def of_heads(values: Float[Tensor, "h *o q k"], query: Float[Tensor, "b h *n q d"]) -> Float[Tensor, "1 h *#n q k"]:
    """A value for each head and offset as a bias for `query`, which may have more dimensions after the heads."""
    missing = query.dim() - values.dim() - 1
    return values[(None, slice(None), *[None] * missing)]
