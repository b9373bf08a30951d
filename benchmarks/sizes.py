"""How large a model is, and how wide another one has to be to be as large."""

from __future__ import annotations

from typing import Any

from mtcli import recipe as recipes
from mtcli.errors import UsageError
from mtcli.model.build import build
from mtcli.settings import ModelSettings

GRAIN = 8
"""Widths are multiples of it, so that heads can share them."""

PLAIN = {"positions": "sinusoidal", "activation": "relu"}
"""What Vaswani et al. 2017 have where presets may have something newer; their feed-forward is four times as wide."""


def resolved(changes: dict[str, Any]) -> ModelSettings:
    """Model settings by name, checked as on the command line; `UsageError` for what the catalogue does not have."""
    return recipes.resolve({}, changes).model


def obstacle(settings: dict[str, Any], vocabulary: int) -> str | None:
    """Why there is no such model; None if there is."""
    try:
        parameters(resolved(settings), vocabulary)
    except UsageError as error:
        return " ".join([error.message, *error.details])
    return None


def parameters(settings: ModelSettings, vocabulary: int) -> int:
    """Numbers that a model with one joint vocabulary learns."""
    return sum(parameter.numel() for parameter in build(settings, vocabulary, vocabulary, joint=True).parameters())


def fitted(settings: ModelSettings, vocabulary: int, width: str, target: int) -> int:
    """The value of the setting `width` for which the model comes nearest to `target` parameters."""

    def size(grains: int) -> int:
        return parameters(settings.model_copy(update={width: grains * GRAIN}), vocabulary)

    low, high = 1, 2
    while size(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < target else (low, middle)
    return GRAIN * min((low, high), key=lambda grains: abs(size(grains) - target))
