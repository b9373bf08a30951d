"""Learning rates: what share of `lr` applies at each step; every schedule first rises from 0 in a straight line."""

from __future__ import annotations

import math

from mtcli import catalog
from mtcli.settings import TrainingSettings


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """The rate of step 1, 2, ..."""
    warmup = settings.warmup_steps
    if step < warmup:
        return settings.lr * step / warmup
    share: float = catalog.load("schedule", settings.schedule)(step, warmup, settings.decay_steps)
    return settings.lr * share


def inverse_sqrt(step: int, warmup: int, decay: int) -> float:
    """`sqrt(warmup / step)`: Vaswani et al. 2017, eq. 3, with `lr` as its peak."""
    return math.sqrt(max(warmup, 1) / step)


def cosine(step: int, warmup: int, decay: int) -> float:
    """Half a cosine from 1 at the end of the warm-up to 0 at step `decay`, and 0 from there on."""
    return 0.5 * (1 + math.cos(math.pi * progress(step, warmup, decay)))


def linear(step: int, warmup: int, decay: int) -> float:
    """A straight line from 1 at the end of the warm-up to 0 at step `decay`, and 0 from there on."""
    return 1 - progress(step, warmup, decay)


def constant(step: int, warmup: int, decay: int) -> float:
    """1 for ever."""
    return 1.0


def progress(step: int, warmup: int, decay: int) -> float:
    """How much of the way from `warmup` to `decay` is behind us, from 0 to 1."""
    return min(1.0, (step - warmup) / max(1, decay - warmup))
