"""Recipes: layer defaults, preset, file and typed flags into one `Recipe`; read and write it as TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from mtcli import catalog
from mtcli.errors import ModelError, UsageError
from mtcli.presets import PRESETS, choose, starting
from mtcli.settings import SECTIONS, Recipe, declarations, resume_rule

Values = Mapping[str, Any]
"""Settings as in a recipe file: `preset`, and one table per section."""

CATALOGUED = {
    "architecture": "architecture",
    "encoder_attention": "attention",
    "decoder_attention": "attention",
    "cross_attention": "cross-attention",
    "alignment": "alignment",
    "cell": "cell",
    "positions": "positions",
    "norm": "norm",
    "normalization": "normalization",
    "activation": "activation",
    "engine": "engine",
    "optimizer": "optimizer",
    "schedule": "schedule",
    "decoding": "decoding",
    "mbr_utility": "utility",
}
"""Settings whose values are names in a table of the catalogue."""


def resolve(file: Values, typed: Mapping[str, Any], pairs: int | None = None) -> Recipe:
    """Layer defaults < preset < values for what is asked for < recipe `file` < `typed` flags.

    `auto` becomes the preset for `pairs` sentence pairs.

    `typed` maps setting names to values. With `pairs` None, `auto` stays `auto` and adds nothing: enough to learn
    what the data are. Raises `UsageError` for unknown keys, wrong types and values out of limits, all in one message.
    """
    flags = nested(typed)
    refuse_unknown({**file, **flags})
    preset = flags.get("preset", file.get("preset", "auto"))
    if preset == "auto" and pairs is not None:
        preset = choose(pairs)
    if preset != "auto" and preset not in PRESETS:
        raise catalog.unknown("preset", str(preset), [*PRESETS, "auto"])
    model, training = (merge([file.get(name, {}), flags.get(name, {})]) for name in ("model", "training"))
    layers = [*starting(preset, model, training), *map(spelled_out, (file, flags))]
    merged = {name: merge([layer.get(name, {}) for layer in layers]) for name in SECTIONS}
    return validated({"preset": preset, **merged})


def spelled_out(layer: Values) -> Values:
    """The layer with `max_tokens = "auto"` as what it means: the layers below say how many, and `split` is found."""
    training = layer.get("training", {})
    if training.get("max_tokens") != "auto":
        return layer
    rest = {name: value for name, value in training.items() if name != "max_tokens"}
    return {**layer, "training": {"split": 0, **rest}}


def overlaid(old: Recipe, file: Values, questions: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `old`, changed by those of `file`, except by values that only ask for a choice already made."""
    values: dict[str, Any] = old.model_dump(mode="json")
    for section, table in file.items():
        if not isinstance(table, Mapping):
            if questions.get(section) != table:
                values[section] = table
            continue
        definite = {name: value for name, value in table.items() if questions.get(name, ...) != value}
        values[section] = {**values.get(section, {}), **definite}
    return values


def nested(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Flat setting names to the tables of a recipe file."""
    place = {name: section for section, name, _ in declarations()}
    values: dict[str, Any] = {}
    for name, value in typed.items():
        table = values.setdefault(place[name], {}) if place[name] else values
        table[name] = value
    return values


def merge(layers: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Later layers win, key by key."""
    return {key: value for layer in layers for key, value in layer.items()}


def refuse_unknown(values: Values) -> None:
    """Raise `UsageError` for a key that is no setting, naming the nearest one."""
    sections = {"preset", *SECTIONS}
    for section, table in values.items():
        if section not in sections:
            raise catalog.unknown("recipe section", section, sorted(sections))
        if section == "preset":
            continue
        if not isinstance(table, Mapping):
            raise UsageError(f"[{section}] in a recipe must be a table of settings, not {table!r}")
        for name in table:
            if name not in SECTIONS[section].model_fields:
                raise catalog.unknown(f"setting in [{section}]", name, list(SECTIONS[section].model_fields))


def validated(values: Values) -> Recipe:
    """The recipe, or one `UsageError` with every reason why it is none."""
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        reasons = [
            f"{'.'.join(map(str, part['loc']))} = {part['input']!r}: {part['msg'].lower()}" for part in error.errors()
        ]
        raise UsageError("these settings cannot be used", *reasons) from error
    for section, name, _ in declarations():
        if name in CATALOGUED:
            value = getattr(getattr(recipe, section), name)
            table = catalog.TABLES[CATALOGUED[name]]
            if value not in table:
                raise catalog.unknown(name, value, list(table))
    return recipe


def read(path: Path) -> dict[str, Any]:
    """The values in a recipe file; `UsageError` if it cannot be read as TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no recipe file {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is not a recipe: {error}") from error


def load(path: Path) -> Recipe:
    """The resolved recipe of a run or checkpoint; `ModelError` if it is damaged.

    A setting that it lacks is younger than it and has its default; a preset of today says nothing of that run.
    """
    try:
        values = read(path)
        refuse_unknown(values)
        return validated(values)
    except UsageError as error:
        raise ModelError(f"{path} is damaged: {error.message}", *error.details) from error


def flag(name: str) -> str:
    """A setting as it is typed."""
    return f"--{name.replace('_', '-')}"


def dump(recipe: Recipe) -> str:
    """The recipe as TOML, every setting included."""
    return tomli_w.dumps(recipe.model_dump(mode="json"))


def changes(old: Recipe, new: Recipe) -> dict[str, list[tuple[str, Any, Any]]]:
    """What differs between two recipes as (name, old, new), by the setting's rule: free, warn, refuse."""
    found: dict[str, list[tuple[str, Any, Any]]] = {"free": [], "warn": [], "refuse": []}
    for section, name, field in declarations():
        before, after = (getattr(getattr(r, section) if section else r, name) for r in (old, new))
        if before != after:
            found[resume_rule(field)].append((name, before, after))
    return found
