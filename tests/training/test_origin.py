"""A run that begins with a trained model: what it takes from there, what it refuses, and that it stands alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mtcli import recipe as recipes
from mtcli.checkpoint import steps, store
from mtcli.errors import ModelError, UsageError
from mtcli.settings import ModelSettings
from mtcli.training import train as training
from mtcli.training.plan import Request, settle
from tests.training import tiny
from tests.training.tiny import Recorder, Trained, run, same_state, same_weights, wishes

OF_THE_MODEL = {*ModelSettings.model_fields, "preset", "tokenizer"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another corpus, with a tokenizer of its own that the runs here do without."""
    place = tmp_path_factory.mktemp("other")
    tiny.write_corpora(place, pairs=60)
    return place


def flags(corpus: Path, origin: Path, **changes: Any) -> dict[str, Any]:
    """Those of a tiny run that says nothing of its model, but where to take it from."""
    mine = {name: value for name, value in wishes(corpus).items() if name not in OF_THE_MODEL}
    return {**mine, "init_from": str(origin), "max_steps": 4, "validate_every": 2, "save_every": 2, **changes}


def best(whole: Trained) -> Path:
    return steps.find(whole.directory)


def test_it_begins_with_the_weights_of_the_best(whole: Trained, corpus: Path, tmp_path: Path) -> None:
    """With a rate of hardly more than 0 the first checkpoint has the very same."""
    first = run(flags(corpus, whole.directory, lr=1e-30, max_steps=1), tmp_path / "run")
    checkpoint, origin = first.checkpoint(1), store.load(best(whole))
    assert same_weights(checkpoint, origin)
    assert checkpoint.tokenizer == origin.tokenizer
    assert checkpoint.recipe.training.init_from == str(best(whole))
    assert checkpoint.recipe.tokenizer.tokenizer == ""
    assert checkpoint.recipe.model == origin.recipe.model
    assert checkpoint.recipe.preset == origin.recipe.preset
    step = best(whole).name.removeprefix("step-")
    assert f"beginning with the weights of {best(whole)}, from step {step}" in first.recorder.said
    assert not (tmp_path / "run" / "tokenizer").exists()


def test_the_optimizer_and_the_count_of_steps_begin_anew(whole: Trained, corpus: Path, tmp_path: Path) -> None:
    resume = run(flags(corpus, whole.directory, max_steps=1), tmp_path / "run").checkpoint(1).resume
    assert resume is not None
    assert resume.values["progress"]["step"] == 1
    assert all(x.item() == 1 for name, x in resume.tensors.items() if name.endswith(".step"))


def test_it_learns_from_there(whole: Trained, corpora: Path, tmp_path: Path) -> None:
    """On the same corpus, its losses go on where the others ended, far from those of a fresh model."""
    ended, began = whole.recorder.standings[-1].loss, whole.recorder.standings[0].loss
    origin = whole.directory / "checkpoints" / "step-20"
    on = run(flags(corpora, origin, warmup_steps=0), tmp_path / "run").recorder.standings
    assert on[0].loss < ended + 0.2 * (began - ended)


def test_it_goes_on_without_its_origin(whole: Trained, corpus: Path, tmp_path: Path) -> None:
    origin = Path(shutil.copytree(whole.directory, tmp_path / "origin"))
    wanted = flags(corpus, origin, ema=0.9)
    uninterrupted = run(wanted, tmp_path / "whole")
    run({**wanted, "max_steps": 2}, tmp_path / "parts")
    shutil.rmtree(origin)
    on = run(wanted, tmp_path / "parts")
    assert on.recorder.warned == []
    assert same_state(on.checkpoint(4), uninterrupted.checkpoint(4))
    with pytest.raises(ModelError, match="there is no model at"):
        run(wanted, tmp_path / "new")


@pytest.mark.parametrize("name", ["as typed", "with a slash", "by its path", "not at all", "in a file"])
def test_a_resumed_run_may_name_it_again(name: str, whole: Trained, corpus: Path, tmp_path: Path) -> None:
    wanted = flags(corpus, whole.directory, max_steps=1)
    run(wanted, tmp_path / "run")
    mine = {key: value for key, value in wanted.items() if key != "init_from"}
    again = {
        "as typed": str(whole.directory),
        "with a slash": f"{whole.directory}/",
        "by its path": str(best(whole)),
    }
    typed = {**mine, "init_from": again[name]} if name in again else mine
    file = {"training": {"init_from": str(whole.directory)}} if name == "in a file" else {}
    recipe = settle(Request(file, typed), tmp_path / "run", Recorder())
    assert recipe == recipes.load(tmp_path / "run" / "recipe.toml")


def test_a_resumed_run_may_not_name_another(whole: Trained, corpora: Path, tmp_path: Path) -> None:
    run(wishes(corpora, max_steps=1), tmp_path / "run")
    with pytest.raises(UsageError, match="other settings"):
        run(wishes(corpora, max_steps=2, init_from=str(whole.directory)), tmp_path / "run")


def test_before_its_first_checkpoint_it_begins_again(whole: Trained, corpus: Path, tmp_path: Path) -> None:
    """As a run does that was killed so early."""
    wanted = flags(corpus, whole.directory)
    uninterrupted = run(wanted, tmp_path / "run").checkpoint(4)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert same_state(run(wanted, tmp_path / "run").checkpoint(4), uninterrupted)


def test_its_recipe_repeats_it(whole: Trained, corpus: Path, tmp_path: Path) -> None:
    first = run(flags(corpus, whole.directory), tmp_path / "run")
    file = recipes.read(tmp_path / "run" / "recipe.toml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "Request", lambda _, typed: Request(file, typed))
        again = run({}, tmp_path / "again")
    assert same_state(again.checkpoint(4), first.checkpoint(4))


def test_every_contradiction_is_named_at_once(whole: Trained, corpora: Path, tmp_path: Path) -> None:
    tiny.learn_tokenizer(corpora, tmp_path / "tokenizer", 30)
    contradictions = {"model_dim": 32, "norm": "post", "preset": "small", "tokenizer": str(tmp_path / "tokenizer")}
    file = {"model": {"heads": 4, "dropout": 0.5}, "tokenizer": {"vocab_size": 7000}}
    with pytest.raises(UsageError, match="cannot be what this run begins with") as caught:
        settle(Request(file, flags(corpora, whole.directory, **contradictions)), tmp_path / "run", Recorder())
    said = "\n".join(caught.value.details)
    for name in ("--model-dim: 16 there, 32 now", "--norm: 'pre'", "--preset: 'tiny'", "--heads: 2", "--vocab-size"):
        assert name in said
    assert "--tokenizer: " in said
    assert "dropout" not in said
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_what_agrees_may_be_said_and_what_may_change_may_change(
    whole: Trained, corpora: Path, tmp_path: Path
) -> None:
    own = {name: value for name, value in wishes(corpora).items() if name in OF_THE_MODEL}
    typed = flags(corpora, whole.directory, **own, label_smoothing=0.25)
    for changes in ({"dropout": 0.4}, {"dropout": 0.4, "preset": "auto"}):
        recipe = settle(Request({}, {**typed, **changes}), tmp_path / "run", Recorder())
        model = store.load(best(whole)).recipe.model
        assert recipe.model == model.model_copy(update={"dropout": 0.4})
        assert (recipe.preset, recipe.training.label_smoothing) == ("tiny", 0.25)


def test_the_origin_may_be_one_checkpoint(whole: Trained, corpus: Path, tmp_path: Path) -> None:
    origin = whole.directory / "checkpoints" / "step-10"
    first = run(flags(corpus, origin, lr=1e-30, max_steps=1), tmp_path / "run")
    assert same_weights(first.checkpoint(1), store.load(origin))


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_an_average_begins_at_the_origin_too(ema: float, whole: Trained, corpus: Path, tmp_path: Path) -> None:
    """And a run may begin with the average that another one stored, which has the other's names."""
    first = run(flags(corpus, whole.directory, ema=0.9), tmp_path / "first")
    second = run(flags(corpus, tmp_path / "first", ema=ema, lr=1e-30, max_steps=1), tmp_path / "second")
    assert same_weights(second.checkpoint(1), store.load(steps.find(first.directory)))


def test_weights_that_do_not_fit_are_refused(whole: Trained, corpus: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "parent", lambda recipe, observer: damaged(best(whole)))
        with pytest.raises(ModelError, match="do not fit"):
            run(flags(corpus, whole.directory), tmp_path / "run")


def damaged(path: Path) -> store.Checkpoint:
    checkpoint = store.load(path)
    checkpoint.weights["output.weight"] = torch.zeros(3, 3)
    return checkpoint
