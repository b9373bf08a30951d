"""What is said of a training's pace: rates, padding, shares of the time and of the machine's best speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from mtcli.machine import Spread, beside_peak
from mtcli.model.flops import countable, training_flops
from mtcli.settings import ModelSettings, Recipe
from mtcli.training.consistency import passes
from mtcli.training.pace import WARM, Mark, Shape
from mtcli.training.phases import Phases


@dataclass(frozen=True)
class Stretch:
    """The steps between two marks."""

    seconds: float
    steps: int
    tokens: int
    target_tokens: int
    shapes: Sequence[Shape]

    @classmethod
    def between(cls, one: Mark, other: Mark, shapes: Sequence[Shape]) -> Stretch:
        """Of all shapes, those of these steps."""
        return cls(
            other.seconds - one.seconds,
            other.steps - one.steps,
            other.tokens - one.tokens,
            other.target_tokens - one.target_tokens,
            shapes[one.batches : other.batches],
        )

    @property
    def places(self) -> int:
        """Source and target tokens with padding."""
        return sum(shape.places for shape in self.shapes)

    def model_flops(self, settings: ModelSettings, vocabulary: int) -> int:
        """What a model had to compute in these steps."""
        return sum(
            training_flops(settings, vocabulary, shape.source.tolist(), shape.target.tolist())
            for shape in self.shapes
        )


def stretches(marks: Sequence[Mark], shapes: Sequence[Shape]) -> tuple[list[Stretch], Stretch]:
    """The windows, and the look at the phases after them."""
    *windows, look = (Stretch.between(one, other, shapes) for one, other in pairwise(marks[WARM:]))
    return windows, look


def throughput(windows: Sequence[Stretch]) -> dict[str, Any]:
    """Rates of source and target tokens and of steps, tokens of a step, the share of padding, and the raw figures."""
    steps, tokens, places = (sum(getattr(each, name) for each in windows) for name in ("steps", "tokens", "places"))
    raw = ("seconds", "steps", "tokens", "target_tokens", "places")
    return {
        "tokens_per_second": asdict(Spread.of([each.tokens / each.seconds for each in windows])),
        "steps_per_second": asdict(Spread.of([each.steps / each.seconds for each in windows])),
        "target_tokens_per_step": sum(each.target_tokens for each in windows) / steps,
        "padding": 1 - tokens / places,
        "windows": [{name: getattr(each, name) for name in raw} for each in windows],
    }


def model_flops(windows: Sequence[Stretch], recipe: Recipe, vocabulary: int) -> list[int] | None:
    """Operations of each window; None where there is no formula for it, or not all of the model learns."""
    if not countable(recipe.model) or recipe.training.lora_rank:
        return None
    return [passes(recipe.training) * each.model_flops(recipe.model, vocabulary) for each in windows]


def share(flops: Sequence[int], windows: Sequence[Stretch], best: float, processors: int) -> dict[str, Any]:
    """Operations per second, the median of the windows, beside the `best` that each of the `processors` can do."""
    rates = [work / each.seconds for work, each in zip(flops, windows, strict=True)]
    return {"model_flops": sum(flops), **beside_peak(Spread.of(rates).median, best, processors)}


def times(look: Stretch, phases: Phases) -> dict[str, float]:
    """The share of each phase in the time of the look; `other` is the rest, such as what is said meanwhile."""
    shares = {str(phase): seconds / look.seconds for phase, seconds in phases.seconds.items()}
    return {**shares, "other": 1 - sum(shares.values())}
