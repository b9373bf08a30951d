"""A run that begins with the weights of a trained model: what it takes from there, and what it may still choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtcli import recipe as recipes
from mtcli.checkpoint import steps, store
from mtcli.checkpoint.restore import refuse_mismatch
from mtcli.checkpoint.store import Checkpoint
from mtcli.data.tokenizer import Tokenizer
from mtcli.errors import UsageError
from mtcli.model.seq2seq import Seq2Seq
from mtcli.recipe import Values
from mtcli.settings import Recipe, TrainingSettings, declarations
from mtcli.training.observer import Observer

FIXED = ("preset", "tokenizer", "model")
"""The parts of a recipe that come with the weights."""
SECTION = {name: section or name for section, name, _ in declarations()}


def inherited(file: Values, typed: Mapping[str, Any], name: str) -> tuple[Values, Mapping[str, Any]]:
    """A recipe file and flags, with what the model at `name` fixes; the best of a run is recorded by its own path.

    Settings of the model that may change while a run is stopped, such as dropout, may change here too. Raises
    `UsageError` with all others that are asked for differently.
    """
    path = steps.find(Path(name))
    theirs = recipes.load(path / store.RECIPE)
    there = theirs.model_copy(update={"tokenizer": theirs.tokenizer.model_copy(update={"tokenizer": ""})})
    here = recipes.resolve(*asked(there, file, typed))
    if reasons := [*contradictions(there, here, path)]:
        raise UsageError(f"{path} cannot be what this run begins with", *reasons, "leave out what that model decides")
    fixed = {section: values for section, values in here.model_dump(mode="json").items() if section in FIXED}
    training = {**file.get("training", {}), "init_from": str(path)}
    free = {key: value for key, value in typed.items() if SECTION[key] not in FIXED and key != "init_from"}
    return {**file, **fixed, "training": training}, free


def asked(there: Recipe, file: Values, typed: Mapping[str, Any]) -> tuple[Values, Mapping[str, Any]]:
    """The recipe `there`, with what a file and flags say about that which it fixes."""
    question = {"preset": "auto"}
    tables = {section: values for section, values in file.items() if section in FIXED}
    flags = {key: value for key, value in typed.items() if SECTION[key] in FIXED and question.get(key) != value}
    return recipes.overlaid(there, tables, question), flags


def contradictions(there: Recipe, here: Recipe, path: Path) -> Iterator[str]:
    """Why a run with the recipe `here` cannot begin with the model at `path`, whose recipe is `there`."""
    for setting, theirs, ours in recipes.changes(there, here)["refuse"]:
        if setting != "tokenizer":
            yield f"{recipes.flag(setting)}: {theirs!r} there, {ours!r} now"
    named = here.tokenizer.tokenizer
    if named and Tokenizer.load(Path(named)).digest != Tokenizer.load(path).digest:
        yield f"--tokenizer: the embeddings belong to the model's own pieces, and {named} has others"


def refuse_groundless(recipe: Recipe) -> None:
    """Raise `UsageError` for updates of low rank that are to no model, or for something about them without them."""
    training = recipe.training
    if training.lora_rank and not training.init_from:
        raise UsageError(
            "--lora-rank adapts a model that was trained before, and none is named", "give it with --init-from"
        )
    if training.lora_alpha != TrainingSettings().lora_alpha and not training.lora_rank:
        raise UsageError("--lora-alpha changes nothing without --lora-rank", "give --lora-rank too, for example 8")


def named_again(old: Recipe, file: Values, typed: Mapping[str, Any]) -> dict[str, str]:
    """What a resumed run calls its origin, if that is the run whose best checkpoint was taken at the first start."""
    name, path = recipes.resolve(file, typed).training.init_from, Path(old.training.init_from)
    run = path.parent.parent if path.parent.name == "checkpoints" else path
    return {"init_from": name} if name and old.training.init_from and Path(name) in (path, run) else {}


def parent(recipe: Recipe, observer: Observer) -> Checkpoint | None:
    """The checkpoint that a new run begins with, if it does not begin anew."""
    if not recipe.training.init_from:
        return None
    checkpoint = store.load(Path(recipe.training.init_from))
    observer.say(f"beginning with the weights of {recipe.training.init_from}, from step {checkpoint.step:,}")
    return checkpoint


def begin_with(model: Seq2Seq[Any], checkpoint: Checkpoint, path: Path) -> None:
    """Give a fresh model the weights of its parent; `ModelError` if they are not those of such a model."""
    refuse_mismatch(path, model, checkpoint.weights)
    model.load_state_dict(checkpoint.weights)
