"""The models whose training is compared, and what one of their tokens costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sizes import PLAIN

from mtcli import recipe as recipes
from mtcli.model.flops import training_flops
from mtcli.settings import Recipe

COMMON = {"preset": "small", "dropout": 0.1, "optimizer": "adamw", "feed_forward_dim": 1024, **PLAIN}
"""What all toolkits have."""


@dataclass(frozen=True)
class Shape:
    """Model settings that differ from the first, and the pieces of its joint vocabulary."""

    about: str
    model: dict[str, Any]
    pieces: int

    def recipe(self, **typed: Any) -> Recipe:
        """The recipe of such a model."""
        return recipes.resolve({}, {**COMMON, **self.model, **typed})

    @property
    def sizes(self) -> dict[str, Any]:
        """What the recipes of other toolkits have to be told."""
        model = self.recipe().model
        names = ("encoder_layers", "decoder_layers", "model_dim", "feed_forward_dim", "heads")
        return {name: getattr(model, name) for name in names}

    def flops_per_token(self, tokens: Mapping[str, int]) -> float:
        """Operations of training for each counted token: source tokens without EOS, target tokens with one.

        `tokens` tells how many of these there were, `src` and `tgt`, in how many sentences, `sents`. All of them are
        taken to be equally long: of what attention costs, a little is missing.
        """
        count = tokens["sents"]
        lengths = evenly(tokens["src"] + count, count), evenly(tokens["tgt"], count)
        flops = training_flops(self.recipe().model, self.pieces, *lengths)
        return flops / (tokens["src"] + tokens["tgt"])


def evenly(total: int, parts: int) -> list[int]:
    """A number as the sum of so many that differ by 1 at most."""
    each, rest = divmod(total, parts)
    return [each + 1] * rest + [each] * (parts - rest)


SHAPES = {
    "small": Shape("model_dim 256, 3+3 layers, feed-forward 1024, 4 heads", {}, 8000),
    "iwslt": Shape(
        "model_dim 512, 6+6 layers, feed-forward 1024, 4 heads",
        {"model_dim": 512, "encoder_layers": 6, "decoder_layers": 6, "heads": 4},
        10_000,
    ),
}
