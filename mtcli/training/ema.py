"""A moving average of the weights: nearer to the optimum than the last ones (Polyak & Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from mtcli.model.seq2seq import Seq2Seq


class Average:
    """A second model, whose parameters follow those of the one that learns; nothing ever changes the latter.

    Parameters that do not learn are one with the latter's.

    After update t it is `a <- d a + (1 - d) w` with `d = min(decay, (1 + t) / (10 + t))`: an average over about the
    last tenth of the updates at first, so that the first values are soon forgotten, and over the last
    `1 / (1 - decay)` later.
    """

    def __init__(self, learner: Seq2Seq[Any], decay: float) -> None:
        self.learner = learner
        self.decay = decay
        self.updates = 0
        fixed = {id(parameter): parameter for parameter in learner.parameters() if not parameter.requires_grad}
        self.model = deepcopy(learner, fixed).requires_grad_(False)
        self.learned = [parameter.requires_grad for parameter in learner.parameters()]

    @cached_property
    def averages(self) -> list[Tensor]:
        """What moves, looked up at the first update: until then, ranks may divide both models among them."""
        return [*compress(self.model.parameters(), self.learned)]

    @cached_property
    def weights(self) -> list[Tensor]:
        """What it moves to."""
        return [*compress(self.learner.parameters(), self.learned)]

    @torch.no_grad()
    def move(self) -> None:
        """Take one update into the average; parameters that are tied are one here too, and move once."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.averages, self.weights, 1 - decay)

    def current(self) -> Seq2Seq[Any]:
        """The average, with what is not learned, such as random features and their counts, as the learner has it."""
        learned = {name for name, _ in self.learner.named_parameters(remove_duplicate=False)}
        other = {name: value for name, value in self.learner.state_dict().items() if name not in learned}
        self.model.load_state_dict(other, strict=False)
        return self.model

    def raw(self) -> dict[str, Tensor]:
        """The weights that learn, each once."""
        return {name: p.detach() for name, p in self.learner.named_parameters() if p.requires_grad}

    def restore(self, averaged: Mapping[str, Tensor], raw: Mapping[str, Tensor], updates: int) -> None:
        """Become what was stored: `averaged` is what `current` had, whole; `raw` is what `raw` gave."""
        self.model.load_state_dict(averaged)
        self.learner.load_state_dict(averaged)
        self.learner.load_state_dict(raw, strict=False)  # after it: `averaged` has tied weights by all their names
        self.updates = updates
