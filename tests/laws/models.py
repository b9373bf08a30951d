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
    "architecture": list(catalog.ARCHITECTURE),
    "encoder_attention": list(catalog.ATTENTION),
    "decoder_attention": list(catalog.ATTENTION),
    "cross_attention": list(catalog.ATTENTION),
    "positions": list(catalog.POSITION),
}
"""What is combined with each other; blocks are combined among themselves, with full attention and sinusoids."""

BLOCKS = {
    "norm": list(catalog.NORM),
    "normalization": list(catalog.NORMALIZATION),
    "activation": list(catalog.ACTIVATION),
    "key_value_heads": [0, 1],
    "qk_norm": [False, True],
}

AROUND: dict[str, list[Any]] = {
    "tied_embeddings": ["three-way", "two-way", "none"],
    "encoder_layers": [1, 6],
    "decoder_layers": [1, 3],
}
"""What surrounds the blocks: each value stands in one model, because it meets every block alike."""


def settings(**changes: Any) -> ModelSettings:
    small = {"encoder_layers": 2, "decoder_layers": 2, "model_dim": 16, "feed_forward_dim": 24, "heads": 2}
    return ModelSettings(**{**small, **changes})


def combinations() -> list[ModelSettings]:
    """Every combination of names; those that `build` refuses are left out, and counted by a test of their own."""
    every = [settings(**dict(zip(CHOICES, names, strict=True))) for names in product(*CHOICES.values())]
    return [each for each in dict.fromkeys([*every, *block_combinations()]) if buildable(each)]


def block_combinations() -> list[ModelSettings]:
    """Every combination of what a block is made of, and each value of what surrounds the blocks."""
    every = [settings(**dict(zip(BLOCKS, names, strict=True))) for names in product(*BLOCKS.values())]
    return [*every, *(settings(**{name: value}) for name, values in AROUND.items() for value in values)]


def buildable(each: ModelSettings) -> bool:
    try:
        build(each, VOCABULARY, VOCABULARY, joint=True)
    except UsageError:
        return False
    return True


def name(each: ModelSettings) -> str:
    plain = settings()
    changed = [
        f"{key}={getattr(each, key)}"
        for key in (*CHOICES, *BLOCKS, *AROUND)
        if getattr(each, key) != getattr(plain, key)
    ]
    return ",".join(changed) or "plain"


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
