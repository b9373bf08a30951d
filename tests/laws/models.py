"""Every model that the catalogue allows, small, in float64, with random parameters: the laws run over these.

The catalogue's product has four parts, each whole: attentions and positions of a Transformer (with pre-norm and
ReLU), its other blocks (with full attention and sinusoids), its depths, and recurrent models. All together would be
hundreds of thousands of models; nothing in one part knows of the others but through `MultiHeadAttention`.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from mtcli import catalog
from mtcli.errors import UsageError
from mtcli.layout import Batch
from mtcli.model import build as building
from mtcli.model.build import build
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import ModelSettings

VOCABULARY = 17

ATTENTIONS: dict[str, list[Any]] = {
    "encoder_attention": list(catalog.ATTENTION),
    "decoder_attention": list(catalog.ATTENTION),
    "cross_attention": list(catalog.ATTENTION),
    "positions": list(catalog.POSITION),
}
BLOCKS: dict[str, list[Any]] = {
    "norm": list(catalog.NORM),
    "normalization": list(catalog.NORMALIZATION),
    "activation": list(catalog.ACTIVATION),
    "tied_embeddings": ["three-way", "two-way", "none"],
    "key_value_heads": [0, 1],
    "qk_norm": [False, True],
}
DEPTHS: dict[str, list[Any]] = {"encoder_layers": [1, 2, 6], "decoder_layers": [1, 2]}
RECURRENT: dict[str, list[Any]] = {
    "architecture": ["recurrent"],
    "cross_attention": list(catalog.SCORE),
    "cell": list(catalog.CELL),
    "alignment": list(catalog.ALIGNMENT),
    "input_feeding": [True, False],
}
PARTS = (ATTENTIONS, BLOCKS, DEPTHS, RECURRENT)
NAMED = list(dict.fromkeys(setting for part in PARTS for setting in part))

NARROW = {
    "window": 2,
    "block_size": 3,
    "stride": 2,
    "rank": 4,
    "features": 16,
    "max_positions": 64,
    "clip_distance": 3,
    "relative_buckets": 8,
    "relative_distance": 12,
}
"""Settings at which the tests' short sentences are long; a model gets those that it reads."""


def settings(**chosen: Any) -> ModelSettings:
    small = {"encoder_layers": 2, "decoder_layers": 2, "model_dim": 16, "feed_forward_dim": 24, "heads": 2}
    made = ModelSettings(**{**small, **chosen})
    try:
        read = building.reads(made)
    except UsageError:  # a name that this architecture does not know
        return made
    return made.model_copy(update={k: v for k, v in NARROW.items() if k in read and k not in chosen})


def every() -> list[ModelSettings]:
    """The product of the names of each part of the catalogue, whether it can be built or not."""
    chosen = [dict(zip(part, values, strict=True)) for part in PARTS for values in product(*part.values())]
    return list(dict.fromkeys(settings(**names) for names in chosen))


def combinations() -> list[ModelSettings]:
    """Every combination that can be built; the others are refused, which a test of their own looks at."""
    return [each for each in every() if buildable(each)]


def parameters() -> list[Any]:
    """Combinations as parameters of a law: all that differ from the plain model in up to three places, where every
    three names meet, and every fourth of the others. Those that differ in more than one place are slow.
    """
    built = combinations()
    far = [each for each in built if differences(each) > 3]
    chosen = [*(each for each in built if differences(each) <= 3), *far[::4]]
    return [pytest.param(each, id=name(each), marks=slow(each)) for each in chosen]


def slow(each: ModelSettings) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if differences(each) > 1 else []


def differences(each: ModelSettings) -> int:
    """In how many places it differs from the plain model; a recurrent one is in none for being one."""
    return len(set(changes(each)) - {"architecture"})


def changes(each: ModelSettings) -> dict[str, Any]:
    """What differs from the plain model."""
    plain = settings()
    return {name: getattr(each, name) for name in NAMED if getattr(each, name) != getattr(plain, name)}


def buildable(each: ModelSettings) -> bool:
    try:
        building.refuse_impossible(each, joint=True)
    except UsageError:
        return False
    return True


def name(each: ModelSettings) -> str:
    return ",".join(f"{setting}={value}" for setting, value in changes(each).items()) or "plain"


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
