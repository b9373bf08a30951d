"""Updates of low rank to the matrices of a trained model, which learn while all else stays: LoRA (Hu et al. 2021).

A model with such updates has the state of the plain one, and beside it what that does not tell: so it can be stored
as a plain model that needs nothing of this, and rebuilt to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from mtcli.model.linear import Linear
from mtcli.model.seq2seq import Seq2Seq


class LowRank(nn.Module):
    """`x (W + alpha / rank B A)^T + b`, of which only A and B learn (Hu et al. 2021, eq. 3).

    Matrices that lie below each other in W have each an A and a B of their own. B begins at 0, and with it the whole
    update; A is Gaussian (section 4.1), scaled so that `A x` is about as large as `x`.
    """

    def __init__(self, of: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.weight = of.weight
        self.bias: Tensor | None = of.bias
        self.rank, self.scale = rank, alpha / rank
        outputs = of.outputs if isinstance(of, Linear) else (of.out_features,)
        self.bounds = [0, *accumulate(outputs)]
        # Drawn by the processor, as all first values are, whatever computes with them.
        drawn = torch.randn(rank * len(outputs), of.in_features) * of.in_features**-0.5
        self.down = nn.Parameter(drawn.to(self.weight))
        self.up = nn.Parameter(self.weight.new_zeros(of.out_features, rank))

    def forward(self, x: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        """The whole output."""
        return self.part(x, 0, self.bounds[-1])

    def part(self, x: Float[Tensor, "*n i"], first: int, last: int) -> Float[Tensor, "*n p"]:
        """Columns `first` to `last` of the output, those of whole matrices."""
        plain = linear(x, self.weight[first:last], None if self.bias is None else self.bias[first:last])
        added = [linear(linear(x, down) * self.scale, up) for down, up in self.between(first, last)]
        return plain + (added[0] if len(added) == 1 else torch.cat(added, dim=-1))

    def between(self, first: int, last: int) -> Iterator[tuple[Float[Tensor, "r i"], Float[Tensor, "p r"]]]:
        """A and B of each matrix in these columns."""
        for place, (start, end) in enumerate(pairwise(self.bounds)):
            if first <= start and end <= last:
                yield self.down[place * self.rank : (place + 1) * self.rank], self.up[start:end]

    @torch.no_grad()
    def merged(self) -> Float[Tensor, "o i"]:
        """`W + alpha / rank B A`."""
        return self.weight + torch.cat([up @ down for down, up in self.between(0, self.bounds[-1])]) * self.scale


def adapt(model: Seq2Seq[Any], rank: int, alpha: float) -> None:
    """Give every matrix but those of embeddings, output and recurrent cells an update; nothing else learns then."""
    model.requires_grad_(False)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and child is not model.output:
                setattr(module, name, LowRank(child, rank, alpha))


def updated(model: Seq2Seq[Any]) -> Iterator[tuple[str, LowRank]]:
    """The matrices that have an update, by name; in a plain model none."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LowRank))


def merged(model: Seq2Seq[Any]) -> dict[str, Tensor]:
    """The state of the plain model that computes the same; tied parameters are one tensor."""
    values = model.state_dict(keep_vars=True)
    once = {id(value): value.detach() for value in values.values()}
    state = {name: once[id(value)] for name, value in values.items()}
    for name, module in updated(model):
        state[f"{name}.weight"] = module.merged()
        del state[f"{name}.down"], state[f"{name}.up"]
    return state


def unmerged(model: Seq2Seq[Any]) -> dict[str, Tensor]:
    """What `merged` does not tell: `{**merged(model), **unmerged(model)}` is the state of the model itself."""
    return {
        f"{name}.{part}": getattr(module, part).detach()
        for name, module in updated(model)
        for part in ("weight", "down", "up")
    }
