"""Which models are compared: every mechanism, position, score and block of the catalogue, at equal size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sizes import PLAIN, fitted, parameters, resolved

from mtcli import catalog

MAX_LENGTH = 127
"""Tokens of the longest training pair, so that a table of 128 positions holds it with its EOS."""

FAIR: dict[str, tuple[dict[str, Any], str]] = {
    "sparse": ({"stride": 4}, "a row of 4: most of 15 tokens are seen in two steps, not in one"),
    "block-local": ({"block_size": 4}, "blocks of 4: with both neighbours, 12 of 15 tokens at most"),
    "longformer": ({"window": 3}, "3 to each side: 7 of 15 tokens, and the first sees all"),
    "linformer": ({"rank": 8, "max_positions": MAX_LENGTH + 1}, "15 tokens pressed into 8"),
    "performer": ({"features": 64}, "twice the head_dim of 32; its price is no matter of 15 tokens, its error is"),
    "learned": ({"max_positions": MAX_LENGTH + 1}, "no longer than the longest pair: the table counts as size"),
    "shaw": ({"clip_distance": 8}, "half a sentence to each side"),
    "t5": ({"relative_buckets": 16, "relative_distance": 32}, "all but the longest sentences within the last bucket"),
    "local-m": ({"window": 3}, "7 of 15 tokens"),
    "local-p": ({"window": 3}, "7 of 15 tokens"),
}
"""Settings for sentences of about 15 tokens that let a part do what it is for; the defaults are for longer ones."""

COMMON = {"norm": "pre", **PLAIN}
"""What the presets do not agree in, and all variants but one do."""

RECURRENT = {"architecture": "recurrent", "encoder_layers": 2, "decoder_layers": 2}


@dataclass(frozen=True)
class Variant:
    """A name of the table, what differs from the first line, and the setting by which its size is evened out."""

    name: str
    changes: dict[str, Any]
    width: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """All that is said of its model beside the preset."""
        return {**COMMON, **self.changes}

    @property
    def folder(self) -> str:
        """Its folder's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def variants() -> Iterator[Variant]:
    """Every combination worth comparing; what the catalogue lacks is left out by `obstacle`."""
    yield Variant("full", {})
    for name in catalog.ATTENTION:
        if name != "full":
            yield from places(name, name, fair(name))
    yield from places("sparse", "sparse, fixed", {**fair("sparse"), "sparse_pattern": "fixed"})
    for name in catalog.POSITION:
        if name != "sinusoidal":
            yield Variant(f"positions {name}", {"positions": name, **fair(name)})
    for score in catalog.SCORE:
        yield Variant(f"recurrent {score} gru", {**RECURRENT, "cross_attention": score}, "model_dim")
    general = {**RECURRENT, "cross_attention": "luong-general"}
    yield Variant("recurrent luong-general lstm", {**general, "cell": "lstm"}, "model_dim")
    for name in ("local-m", "local-p"):
        yield Variant(
            f"recurrent luong-general {name} gru", {**general, "alignment": name, **fair(name)}, "model_dim"
        )
    yield from blocks()


def places(mechanism: str, called: str, settings: dict[str, Any]) -> Iterator[Variant]:
    """A mechanism in self-attention, the decoder's too if it can be causal, and in cross-attention if it can."""
    if mechanism not in catalog.ATTENTION:
        return
    kind = catalog.load("attention", mechanism)
    own = ("encoder", "decoder") if kind.supports_causal else ("encoder",)
    yield Variant(f"{'+'.join(own)} {called}", {**{f"{place}_attention": mechanism for place in own}, **settings})
    if kind.supports_cross:
        yield Variant(f"cross {called}", {"cross_attention": mechanism, **settings})


def blocks() -> Iterator[Variant]:
    """Norms, activations and heads, and other shares of encoder and decoder."""
    for setting, names in (
        ("norm", catalog.NORM),
        ("normalization", catalog.NORMALIZATION),
        ("activation", catalog.ACTIVATION),
    ):
        for name in [*names][1:]:  # the first is that of "full"
            yield Variant(f"{setting} {name}", {setting: name}, "feed_forward_dim" * (setting == "activation"))
    yield Variant("two heads of keys and values", {"key_value_heads": 2}, "feed_forward_dim")
    yield Variant("qk-norm", {"qk_norm": True})
    modern = {"positions": "rope", "normalization": "rmsnorm", "activation": "swiglu"}
    yield Variant("rope, rmsnorm, swiglu", modern, "feed_forward_dim")
    yield Variant("5+1 layers", {"encoder_layers": 5, "decoder_layers": 1}, "feed_forward_dim")


def fair(name: str) -> dict[str, Any]:
    """The settings of a part."""
    return FAIR.get(name, ({}, ""))[0]


def sized(variant: Variant, preset: str, vocabulary: int) -> dict[str, Any]:
    """The settings of a variant as large as the first, as far as its width allows."""
    wide = {"feed_forward_dim": 4 * resolved({"preset": preset}).model_dim}
    own = {**wide, **variant.settings}
    if not variant.width:
        return own
    target = parameters(resolved({"preset": preset, **wide, **COMMON}), vocabulary)
    width = fitted(resolved({"preset": preset, **own}), vocabulary, variant.width, target)
    return {**own, variant.width: width}
