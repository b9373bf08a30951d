"""From what `-m/--model` names to something that translates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mtcli.checkpoint import steps, store
from mtcli.checkpoint.store import Checkpoint
from mtcli.data.tokenizer import Tokenizer
from mtcli.errors import ModelError, UsageError
from mtcli.model.build import build
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import Recipe


@dataclass(frozen=True)
class Restored:
    """A model with its tokenizer, on a device, ready to translate."""

    path: Path
    model: Seq2Seq[Any]
    tokenizer: Tokenizer
    recipe: Recipe
    scores: dict[str, Any]
    step: int


def restore(path: Path, device: torch.device) -> Restored:
    """The model of a run's best checkpoint, or of one checkpoint; `ModelError` if anything in it does not fit."""
    found = steps.find(path)
    checkpoint = store.load(found)
    tokenizer = Tokenizer.from_bytes(checkpoint.tokenizer)
    refuse_implausible(found, checkpoint)
    try:
        model = build(checkpoint.recipe.model, tokenizer.source_size, tokenizer.target_size, tokenizer.joint)
    except UsageError as error:
        raise ModelError(f"{found}: {error.message}", *error.details) from error
    refuse_mismatch(found, model, checkpoint.weights)
    model.load_state_dict(checkpoint.weights)
    return Restored(found, model.to(device).eval(), tokenizer, checkpoint.recipe, checkpoint.scores, checkpoint.step)


def refuse_implausible(path: Path, checkpoint: Checkpoint) -> None:
    """Raise `ModelError` for a recipe whose model would be far larger than the weights stored with it."""
    settings = checkpoint.recipe.model
    stored = sum(weight.numel() for weight in checkpoint.weights.values())
    layers = settings.encoder_layers + settings.decoder_layers
    if layers * settings.model_dim * (settings.model_dim + settings.feed_forward_dim) > 10 * stored:
        raise ModelError(
            f"the recipe in {path} describes a far larger model than the {stored:,} parameters stored with it"
        )


def refuse_mismatch(path: Path, model: Seq2Seq[Any], weights: dict[str, torch.Tensor]) -> None:
    """Raise `ModelError` unless the weights are those of this model."""
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    stored = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != stored:
        wrong = sorted(name for name in expected.keys() | stored.keys() if expected.get(name) != stored.get(name))
        raise ModelError(
            f"the weights in {path} do not fit its recipe and tokenizer",
            f"for example {wrong[0]}: {stored.get(wrong[0])} stored, {expected.get(wrong[0])} expected",
        )
