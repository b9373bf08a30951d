"""Every model that the catalogue allows, small, in float64, with random parameters: the laws run over these."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch

from mtcli import catalog
from mtcli.errors import UsageError
from mtcli.layout import Batch
from mtcli.model.build import build
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import ModelSettings

VOCABULARY = 17

CHOICES = {
    "architecture": ["transformer"],
    "encoder_attention": list(catalog.ATTENTION),
    "decoder_attention": list(catalog.ATTENTION),
    "cross_attention": list(catalog.ATTENTION),
    "positions": list(catalog.POSITION),
    "norm": list(catalog.NORM),
    "activation": list(catalog.ACTIVATION),
    "tied_embeddings": ["three-way", "two-way", "none"],
}

RECURRENT_CHOICES = {
    "architecture": ["recurrent"],
    "cross_attention": list(catalog.SCORE),
    "cell": list(catalog.CELL),
    "alignment": list(catalog.ALIGNMENT),
    "input_feeding": [True, False],
}


def settings(**changes: Any) -> ModelSettings:
    small = {"encoder_layers": 2, "decoder_layers": 2, "model_dim": 16, "feed_forward_dim": 24, "heads": 2}
    return ModelSettings(**{**small, **changes})


def combinations() -> list[ModelSettings]:
    """Every combination of names; those that `build` refuses are left out, and counted by a test of their own."""
    every = [settings(**dict(zip(CHOICES, names, strict=True))) for names in product(*CHOICES.values())]
    return [each for each in every if buildable(each)] + recurrent_combinations()


def recurrent_combinations() -> list[ModelSettings]:
    """The same of what a recurrent model is made of."""
    choices = RECURRENT_CHOICES
    every = [settings(**dict(zip(choices, names, strict=True))) for names in product(*choices.values())]
    return [each for each in every if buildable(each)]


def buildable(each: ModelSettings) -> bool:
    try:
        build(each, VOCABULARY, VOCABULARY, joint=True)
    except UsageError:
        return False
    return True


def name(each: ModelSettings) -> str:
    choices = RECURRENT_CHOICES if each.architecture == "recurrent" else CHOICES
    return "-".join(str(getattr(each, choice)) for choice in choices)


def model(each: ModelSettings, seed: int = 0) -> Seq2Seq[Any]:
    """A model without dropout whose every parameter, biases and norms included, is random."""
    torch.manual_seed(seed)
    built = build(each, VOCABULARY, VOCABULARY, joint=True).double().eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return built


def sentences(seed: int, lengths: list[int]) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(4, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]


def batch(seed: int, sources: list[int], targets: list[int]) -> Batch:
    return Batch.of(sentences(seed, sources), sentences(seed + 1, targets))
