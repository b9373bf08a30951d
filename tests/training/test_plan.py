"""What a resumed run makes of every setting that is asked for differently, and what the first start settles."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from mtcli import catalog
from mtcli import recipe as recipes
from mtcli.errors import UsageError
from mtcli.recipe import CATALOGUED
from mtcli.settings import Recipe, declarations, resume_rule
from mtcli.training import plan
from mtcli.training.plan import Request, continued, settle
from tests.training.tiny import Recorder, wishes

BEGUN = {
    "train": ["corpus"],
    "valid": ["held-out"],
    "source_lang": "en",
    "target_lang": "de",
    "preset": "tiny",
    "precision": "fp32",
    "schedule": "cosine",
    "max_steps": 100,
    "decay_steps": 100,
}
OTHER = "other"
DECLARED = [pytest.param(section, name, field, id=name) for section, name, field in declarations()]


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The directory of a run with a recipe."""
    (tmp_path / "recipe.toml").write_text(recipes.dump(recipes.resolve({}, BEGUN)), encoding="utf-8")
    return tmp_path


def value_in(recipe: Recipe, section: str, name: str) -> Any:
    return getattr(getattr(recipe, section) if section else recipe, name)


def another(field: FieldInfo, name: str, value: Any) -> Any:
    """A valid value that is not `value`."""
    if name == "preset":
        return "small"
    if get_origin(field.annotation) is Literal:
        return next(each for each in get_args(field.annotation) if each not in (value, "auto"))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.25
    return (OTHER,) if isinstance(value, tuple) else OTHER


@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize(("section", "name", "field"), DECLARED)
def test_every_setting_changes_as_declared(
    section: str, name: str, field: FieldInfo, from_file: bool, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in CATALOGUED:
        table = catalog.TABLES[CATALOGUED[name]]
        monkeypatch.setitem(table, OTHER, next(iter(table.values())))
    before = value_in(recipes.load(begun / "recipe.toml"), section, name)
    after = another(field, name, before)
    assert after != before
    file = {section: {name: after}} if section else {name: after}
    request = Request(file, {}) if from_file else Request({}, {name: after})
    recorder = Recorder()
    if resume_rule(field) == "refuse":
        with pytest.raises(UsageError, match="other settings") as caught:
            continued(request, begun, recorder)
        assert any(plan.flag(name) in detail and repr(after) in detail for detail in caught.value.details)
        assert recorder.warned == []
        return
    assert value_in(continued(request, begun, recorder), section, name) == after
    expected = [f"{plan.flag(name)} changes from {before!r} to {after!r}"] if resume_rule(field) == "warn" else []
    assert recorder.warned == expected


def test_the_same_settings_change_nothing(begun: Path) -> None:
    recipe, recorder = recipes.load(begun / "recipe.toml"), Recorder()
    typed = {name: value_in(recipe, section, name) for section, name, _ in declarations()}
    for request in (Request({}, {}), Request({}, typed), Request({}, BEGUN), Request(recipe.model_dump(), {})):
        assert continued(request, begun, recorder) == recipe
    assert recorder.warned == []


@pytest.mark.parametrize("question", plan.RESOLVED_AT_START.items(), ids=lambda each: each[0])
def test_a_choice_left_to_the_program_is_the_one_it_made(question: tuple[str, Any], begun: Path) -> None:
    name, value = question
    recorder = Recorder()
    nested = {name: value} if name == "preset" else {"training": {name: value}}
    for request in (Request({}, {name: value}), Request(nested, {})):
        assert continued(request, begun, recorder) == recipes.load(begun / "recipe.toml")
    assert recorder.warned == []


def test_the_corpus_is_not_counted_where_a_preset_is_named(corpora: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "count", refuse)
        assert settle(Request({}, wishes(corpora)), tmp_path / "run", Recorder()).preset == "tiny"
        with pytest.raises(AssertionError, match="counted"):
            settle(Request({}, wishes(corpora, preset="auto")), tmp_path / "run", Recorder())


def refuse(recipe: Recipe) -> int:
    raise AssertionError("counted")


def test_auto_is_settled_by_the_size_of_the_corpus(corpora: Path, tmp_path: Path) -> None:
    recipe = settle(Request({}, wishes(corpora, preset="auto", precision="auto")), tmp_path / "run", Recorder())
    assert recipe.preset == "tiny"
    assert recipe.training.precision != "auto"


@pytest.mark.parametrize("schedule", catalog.PLANNED_SCHEDULES)
def test_a_planned_schedule_needs_an_end(schedule: str, corpora: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has to know when it ends"):
        settle(Request({}, wishes(corpora, schedule=schedule, max_steps=0)), tmp_path / "run", Recorder())
    recorder = Recorder()
    recipe = settle(Request({}, wishes(corpora, schedule=schedule, max_steps=7)), tmp_path / "run", recorder)
    assert recipe.training.decay_steps == 7
    settle(Request({}, wishes(corpora, schedule=schedule, decay_steps=5)), tmp_path / "run", recorder)
    assert len(recorder.warned) == 1
    assert "reaches 0 at step 5" in recorder.warned[0]


@pytest.mark.parametrize("name", ["train", "valid", "source_lang", "target_lang"])
def test_a_run_without_data_is_refused_before_anything_is_read(name: str, corpora: Path, tmp_path: Path) -> None:
    flags = {key: value for key, value in wishes(corpora).items() if key != name}
    with pytest.raises(UsageError, match=f"{plan.flag(name)} is missing"):
        settle(Request({}, flags), tmp_path / "run", Recorder())
