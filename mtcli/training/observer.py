"""What a run tells whoever shows it to people: where it stands, how it was judged, what is worth a warning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mtcli.evaluation import Score


class Observer(Protocol):
    """Whoever shows a run to people; nothing in `training` prints."""

    def say(self, sentence: str) -> None:
        """Something to know."""

    def warn(self, sentence: str) -> None:
        """Something to worry about."""

    def stand(self, standing: Standing) -> None:
        """Some steps were taken."""

    def validated(self, validation: Validation, best: bool, patience: int | None) -> None:
        """A validation ended; `patience` is how many more may pass without a new best."""

    def saved(self, path: Path) -> None:
        """A checkpoint is on disk."""


class Nobody:
    """An `Observer` that keeps everything to itself: that of a rank which is not the first."""

    def say(self, sentence: str) -> None:
        """Something to know."""

    def warn(self, sentence: str) -> None:
        """Something to worry about."""

    def stand(self, standing: Standing) -> None:
        """Some steps were taken."""

    def validated(self, validation: Validation, best: bool, patience: int | None) -> None:
        """A validation ended."""

    def saved(self, path: Path) -> None:
        """A checkpoint is on disk."""


@dataclass(frozen=True)
class Standing:
    """Where a run stands; `loss` is nats per target token since the last standing, `remaining` is in seconds.

    `tokens_per_second` leaves validations and saves out; `seconds`, `remaining` and `share_of_time` have them.
    """

    step: int
    epoch: int
    loss: float
    lr: float
    tokens_per_second: float
    gradient_norm: float
    loss_scale: float | None
    """Of fp16; None in other precisions."""
    seconds: float
    remaining: float | None
    skipped: int
    rate_halvings: int
    share_of_time: dict[str, float]
    """Of this process: what steps, validations and saves took."""


@dataclass(frozen=True)
class Sample:
    """One translation beside what it should have been."""

    source: str
    reference: str
    translation: str


@dataclass(frozen=True)
class Validation:
    """What one validation found; `loss` is nats per target token without smoothing."""

    loss: float
    scores: list[Score]
    samples: list[Sample]
    seconds: float

    def value(self, metric: str) -> float:
        """The figure that `metric` names, turned so that higher is better."""
        if metric == "loss":
            return -self.loss
        return next(score.value for score in self.scores if score.name.lower().startswith(metric))

    def as_json(self) -> dict[str, Any]:
        """Loss, None if it is not finite, and scores with their signatures."""
        loss = self.loss if math.isfinite(self.loss) else None
        return {"loss": loss, "scores": {score.name: score.as_json() for score in self.scores}}
