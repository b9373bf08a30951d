"""Starting values by model size and architecture; the size `auto` chooses by the number of training pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Values = dict[str, dict[str, Any]]

TINY: Values = {
    "tokenizer": {"vocab_size": 4000},
    "model": {
        "encoder_layers": 3,
        "decoder_layers": 3,
        "model_dim": 128,
        "feed_forward_dim": 352,
        "activation": "swiglu",
        "heads": 4,
        "positions": "rope",
        "dropout": 0.1,
    },
    "training": {
        "optimizer": "muon",
        "lr": 4e-3,
        "warmup_steps": 400,
        "max_tokens": 1024,
        "validate_every": 400,
        "save_every": 400,
    },
}

SMALL: Values = {
    "tokenizer": {"vocab_size": 8000},
    "model": {
        "encoder_layers": 3,
        "decoder_layers": 3,
        "model_dim": 256,
        "feed_forward_dim": 704,
        "activation": "swiglu",
        "heads": 4,
        "positions": "rope",
        "dropout": 0.3,
    },
    "training": {
        "optimizer": "muon",
        "lr": 3e-3,
        "warmup_steps": 1000,
        "max_tokens": 2048,
        "validate_every": 500,
        "save_every": 500,
    },
}

# Vaswani et al. 2017, table 3 and section 5.3. Their rate, model_dim^-0.5 * min(step^-0.5, step * 4000^-1.5),
# peaks at step 4,000 with (4000 * model_dim)^-0.5.
BASE: Values = {
    "tokenizer": {"vocab_size": 32000, "tokenizer_model": "bpe"},
    "model": {
        "encoder_layers": 6,
        "decoder_layers": 6,
        "model_dim": 512,
        "feed_forward_dim": 2048,
        "heads": 8,
        "norm": "post",
        "dropout": 0.1,
    },
    "training": {
        "lr": (4000 * 512) ** -0.5,
        "warmup_steps": 4000,
        "max_tokens": 25000,
        "max_steps": 100_000,
        "validate_every": 2000,
        "save_every": 2000,
    },
}

BIG: Values = {
    "tokenizer": BASE["tokenizer"],
    "model": {**BASE["model"], "model_dim": 1024, "feed_forward_dim": 4096, "heads": 16, "dropout": 0.3},
    "training": {**BASE["training"], "lr": (4000 * 1024) ** -0.5, "max_steps": 300_000},
}

PRESETS: dict[str, Values] = {"tiny": TINY, "small": SMALL, "base": BASE, "big": BIG}

# Without residual connections, layers on top of each other stop helping after a few (Wu et al. 2016, 3.1).
RECURRENT: Values = {
    "model": {
        "cross_attention": "bahdanau",
        "encoder_layers": 2,
        "decoder_layers": 2,
        "positions": "sinusoidal",
    },
}

ARCHITECTURES: dict[str, Values] = {"recurrent": RECURRENT}
"""Starting values that replace those of a preset for an architecture."""

MIXING = {"linear", "linformer"}
"""Attention that mixes queries or keys before they meet, where turning them would not tell how far apart they are."""

SINUSOIDAL: Values = {"model": {"positions": "sinusoidal"}}
"""Starting values that replace rotary positions where such attention is asked for."""

ADAMW: dict[str, Values] = {
    "tiny": {"training": {"optimizer": "adamw", "lr": 2e-3}},
    "small": {"training": {"optimizer": "adamw", "lr": 1e-3}},
}
"""Starting values that replace those of a preset where Muon is not wanted or cannot be had."""


def starting(preset: str, model: Mapping[str, Any], training: Mapping[str, Any]) -> Iterator[Values]:
    """Layers of starting values, later ones winning, where this is asked for of the model and of its training."""
    yield PRESETS.get(preset, {})
    yield ARCHITECTURES.get(str(model.get("architecture")), {})
    if MIXING & {model.get("encoder_attention"), model.get("decoder_attention")}:
        yield SINUSOIDAL
    if without_muon(training):
        yield ADAMW.get(preset, {})


def without_muon(training: Mapping[str, Any]) -> bool:
    """Whether AdamW is asked for, or what only AdamW can do."""
    asked = training.get("lora_rank") or training.get("shard") or training.get("engine") == "graph"
    return bool(asked) or training.get("optimizer") == "adamw"


def choose(pairs: int) -> str:
    """The preset that `auto` stands for, given the number of training pairs."""
    if pairs < 10_000:
        return "tiny"
    if pairs < 500_000:
        return "small"
    if pairs < 20_000_000:
        return "base"
    return "big"


def stated(section: str, name: str, value: Any) -> bool:
    """Whether a preset may be why a setting has a value: one states the setting; and this value, if it is a name."""
    found = [values[section][name] for values in PRESETS.values() if name in values.get(section, {})]
    return value in found if isinstance(value, str) else bool(found)
