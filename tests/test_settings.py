"""Settings: one declaration each, from which recipe, flags and validation follow."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcli import catalog, recipe
from mtcli.cli.flags import with_settings
from mtcli.errors import UsageError
from mtcli.model.build import refuse_impossible
from mtcli.presets import ARCHITECTURES, PRESETS, choose
from mtcli.settings import SECTIONS, Recipe, declarations, resume_rule

NAMES = [name for _, name, _ in declarations()]


def test_names_are_unique_over_all_sections() -> None:
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize(("section", "name", "field"), list(declarations()), ids=NAMES)
def test_every_declaration_is_complete(section: str, name: str, field: Any) -> None:
    assert field.description
    assert resume_rule(field) in ("free", "warn", "refuse")
    assert field.default is not None


def test_every_setting_is_a_flag_of_train() -> None:
    @with_settings("", *SECTIONS)
    def command(typed: dict[str, Any]) -> dict[str, Any]:
        return typed

    assert set(inspect.signature(command).parameters) == set(NAMES)
    assert command(**dict.fromkeys(NAMES)) == {}
    assert command(**{**dict.fromkeys(NAMES), "model_dim": 8, "train": ["a", "b"], "joint": False}) == {
        "model_dim": 8,
        "train": ["a", "b"],
        "joint": False,
    }


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_is_a_recipe(preset: str) -> None:
    resolved = recipe.resolve({}, {"preset": preset})
    assert resolved.preset == preset
    assert resolved.model.model_dim % resolved.model.heads == 0


def test_the_presets_of_the_paper() -> None:
    """Vaswani et al. 2017, table 3 and section 5.3."""
    base, big = (recipe.resolve({}, {"preset": name}) for name in ("base", "big"))
    assert (base.model.model_dim, base.model.feed_forward_dim, base.model.heads) == (512, 2048, 8)
    assert (big.model.model_dim, big.model.feed_forward_dim, big.model.heads) == (1024, 4096, 16)
    for preset in (base, big):
        assert (preset.model.encoder_layers, preset.model.decoder_layers, preset.model.norm) == (6, 6, "post")
        noam = preset.model.model_dim**-0.5 * min(4000**-0.5, 4000 * 4000**-1.5)
        assert preset.training.lr == pytest.approx(noam)
        assert (preset.training.beta1, preset.training.beta2, preset.training.epsilon) == (0.9, 0.98, 1e-9)
        assert preset.training.label_smoothing == 0.1


def test_later_layers_win() -> None:
    file = {"preset": "small", "model": {"heads": 8, "dropout": 0.2}, "training": {"seed": 5}}
    resolved = recipe.resolve(file, {"dropout": 0.25})
    assert resolved.model.model_dim == PRESETS["small"]["model"]["model_dim"]
    assert (resolved.model.heads, resolved.model.dropout, resolved.training.seed) == (8, 0.25, 5)
    assert resolved.training.clip == Recipe().training.clip
    assert recipe.resolve(file, {"preset": "tiny"}).preset == "tiny"


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("architecture", list(catalog.ARCHITECTURE))
def test_every_architecture_works_by_its_name_alone(architecture: str, preset: str) -> None:
    for file, typed in (({"model": {"architecture": architecture}}, {}), ({}, {"architecture": architecture})):
        resolved = recipe.resolve(file, {"preset": preset, **typed})
        refuse_impossible(resolved.model, resolved.tokenizer.joint)
        assert resolved.model.model_dim == PRESETS[preset]["model"]["model_dim"]


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("name", list(catalog.ATTENTION))
def test_every_self_attention_works_by_its_name_alone(name: str, preset: str) -> None:
    places = ["encoder_attention"]
    if catalog.load("attention", name).supports_causal:
        places.append("decoder_attention")
    for place in places:
        for file, typed in (({"model": {place: name}}, {}), ({}, {place: name})):
            resolved = recipe.resolve(file, {"preset": preset, **typed})
            refuse_impossible(resolved.model, resolved.tokenizer.joint)


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_values_of_an_architecture_stand_between_preset_and_file(architecture: str) -> None:
    starting = ARCHITECTURES[architecture]["model"]
    file = {"preset": "base", "model": {"architecture": "transformer", "encoder_layers": 7}}
    assert "encoder_layers" in starting
    of_preset, of_architecture = (recipe.resolve(file, typed).model for typed in ({}, {"architecture": architecture}))
    assert of_preset.decoder_layers == PRESETS["base"]["model"]["decoder_layers"]
    assert of_architecture.model_dump().items() >= {**starting, "encoder_layers": 7}.items()
    chosen = {"architecture": architecture, "decoder_layers": 9}
    assert recipe.resolve(file, chosen).model.decoder_layers == 9


@pytest.mark.parametrize("preset", ["tiny", "small"])
@pytest.mark.parametrize(
    "asked", [{"optimizer": "adamw"}, {"shard": True, "split": 1}, {"lora_rank": 8}, {"engine": "graph"}], ids=str
)
def test_the_optimizer_of_a_preset_gives_way_with_its_rate(asked: dict[str, Any], preset: str) -> None:
    usual = recipe.resolve({}, {"preset": preset}).training
    for file, typed in (({"training": asked}, {}), ({}, asked)):
        resolved = recipe.resolve(file, {"preset": preset, **typed}).training
        assert (usual.optimizer, resolved.optimizer) == ("muon", "adamw")
        assert 0 < resolved.lr < usual.lr
        assert recipe.resolve(file, {"preset": preset, **typed, "lr": 0.5}).training.lr == 0.5
        stubborn = recipe.resolve(file, {"preset": preset, **typed, "optimizer": "muon"}).training
        assert stubborn.optimizer == "muon"


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_auto_never_chooses_a_smaller_model_for_more_data(pairs: int, more: int) -> None:
    order = list(PRESETS)
    assert order.index(choose(pairs)) <= order.index(choose(pairs + more))
    assert recipe.resolve({}, {}, pairs).preset == choose(pairs)


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "model_dim": st.integers(1, 65536),
        "dropout": st.floats(0, 0.99),
        "lr": st.floats(1e-9, 10),
        "train": st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=3),
        "source_lang": st.text(st.characters(codec="utf-8")),
        "joint": st.booleans(),
        "metric": st.sampled_from(["bleu", "chrf", "loss"]),
        "preset": st.sampled_from([*PRESETS, "auto"]),
    },
)


@given(VALUES)
def test_a_recipe_survives_toml(typed: dict[str, Any]) -> None:
    resolved = recipe.resolve({}, typed)
    assert recipe.resolve(tomllib.loads(recipe.dump(resolved)), {}) == resolved


def test_a_stored_recipe_keeps_what_it_began_with(tmp_path: Path) -> None:
    """What it lacks was not there when it was written: a preset of today has no say."""
    path, lines = tmp_path / "recipe.toml", recipe.dump(Recipe(preset="base")).splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("norm = ")))
    assert PRESETS["base"]["model"]["norm"] != Recipe().model.norm
    assert recipe.load(path).model == Recipe().model


@given(VALUES, VALUES)
def test_changes_name_exactly_what_differs(first: dict[str, Any], second: dict[str, Any]) -> None:
    old, new = recipe.resolve({}, first), recipe.resolve({}, second)
    named = {name for found in recipe.changes(old, new).values() for name, _, _ in found}
    assert (named == set()) == (old == new)
    for section, name, _ in declarations():
        before, after = (getattr(getattr(r, section) if section else r, name) for r in (old, new))
        assert (name in named) == (before != after)


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"model": {"model_dimm": 3}}, "did you mean 'model_dim'?"),
        ({"modle": {}}, "did you mean 'model'?"),
        ({"model": {"positions": "sinusodial"}}, "did you mean 'sinusoidal'?"),
        ({"preset": "smal"}, "did you mean 'small'?"),
        ({"training": {"precision": "fp8"}}, "precision"),
        ({"model": {"heads": 0}, "training": {"lr": -1.0}}, "lr"),
        ({"model": 3}, "table"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        recipe.resolve(values, {})
    assert hint in str(raised.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(UsageError) as raised:
        recipe.resolve({"model": {"heads": 0, "dropout": 2.0}}, {})
    assert "model.heads" in str(raised.value)
    assert "model.dropout" in str(raised.value)


@pytest.mark.parametrize("table", list(catalog.TABLES))
def test_every_name_of_the_catalogue_can_be_loaded(table: str) -> None:
    for name in catalog.TABLES[table]:
        assert callable(catalog.load(table, name)) or table in ("protocol", "task")
    with pytest.raises(UsageError):
        catalog.load(table, "no such thing")
