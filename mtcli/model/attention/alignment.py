"""Which source tokens a recurrent decoder weighs: all, or those in a window (Luong et al. 2015, 3.1 and 3.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.layout import Rows
from mtcli.model.attention.softmax import limited, softmax
from mtcli.model.choice import Choice


class Alignment(Choice, nn.Module, ABC):
    """Scores to weights."""

    @abstractmethod
    def forward(
        self,
        scores: Float[Tensor, "b q s"],
        query: Float[Tensor, "b q m"],
        places: Int[Tensor, "#q"],
        rows: Rows,
    ) -> Float[Tensor, "b q s"]:
        """The weight of each source token for each query; `places` are the queries' positions in the target."""


class Global(Alignment):
    """All source tokens (eq. 7)."""

    def forward(
        self,
        scores: Float[Tensor, "b q s"],
        query: Float[Tensor, "b q m"],
        places: Int[Tensor, "#q"],
        rows: Rows,
    ) -> Float[Tensor, "b q s"]:
        """The softmax over the sentence."""
        return softmax(limited(scores, rows.valid[:, None]))


class LocalM(Alignment):
    """The tokens up to `window` positions from `p_t = t`: source and target are taken to run in step.

    Where the target is longer than the source, `p_t` stays on the last token, as the window would be empty.
    """

    reads = ("window",)

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(
        self,
        scores: Float[Tensor, "b q s"],
        query: Float[Tensor, "b q m"],
        places: Int[Tensor, "#q"],
        rows: Rows,
    ) -> Float[Tensor, "b q s"]:
        """The softmax over the window."""
        centre = torch.minimum(places, rows.lengths[:, None] - 1)
        near = (rows.positions - centre[:, :, None]).abs() <= self.window
        return softmax(limited(scores, near & rows.valid[:, None]))


class LocalP(Alignment):
    """The tokens up to `window` positions from a `p_t` that the query predicts (eqs. 9 and 10).

    A Gaussian with a deviation of half the window favours those near `p_t`, which gives `p_t` its gradient.
    """

    reads = ("model_dim", "window")

    def __init__(self, model_dim: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.inner = nn.Linear(model_dim, model_dim, bias=False)
        self.outer = nn.Linear(model_dim, 1, bias=False)
        for layer in (self.inner, self.outer):
            nn.init.xavier_uniform_(layer.weight)

    def forward(
        self,
        scores: Float[Tensor, "b q s"],
        query: Float[Tensor, "b q m"],
        places: Int[Tensor, "#q"],
        rows: Rows,
    ) -> Float[Tensor, "b q s"]:
        """The softmax over the window, times the Gaussian; these weights sum to less than 1."""
        offsets = rows.positions - self.centre(query, rows)[:, :, None]
        near = limited(scores, (offsets.abs() <= self.window) & rows.valid[:, None])
        deviation = self.window / 2
        return softmax(near) * torch.exp(-offsets.square() / (2 * deviation**2)).to(scores.dtype)

    def centre(self, query: Float[Tensor, "b q m"], rows: Rows) -> Float[Tensor, "b q"]:
        """`p_t = S sigmoid(v tanh(W h_t))`, between 0 and the sentence's length `S` (eq. 9)."""
        share = self.outer(torch.tanh(self.inner(query))).squeeze(-1)
        # fp32: bf16 has no numbers between 64 and 64.5
        share = torch.sigmoid(share.to(torch.promote_types(share.dtype, torch.float32)))
        return share * rows.lengths[:, None]
