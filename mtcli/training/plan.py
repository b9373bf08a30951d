"""What a run is going to do: its recipe, settled before anything expensive happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtcli import catalog
from mtcli import recipe as recipes
from mtcli.data.corpus import Account, open_corpora
from mtcli.device import choose_device, choose_precision, use_processor
from mtcli.errors import UsageError
from mtcli.recipe import flag
from mtcli.settings import Recipe
from mtcli.training.observer import Observer
from mtcli.training.origin import inherited, named_again
from mtcli.training.refusals import refuse_contradictions, refuse_incomplete, refuse_uncuttable

RESOLVED_AT_START: dict[str, Any] = {
    "preset": "auto",
    "precision": "auto",
    "decay_steps": 0,
    "max_tokens": "auto",
    "layout": "auto",
    "split": 0,
}
"""Values that ask the first start to choose; on resume they mean what was chosen then."""


@dataclass(frozen=True)
class Request:
    """What the user asks for: the values of a recipe file, and the flags typed, by setting name."""

    file: Mapping[str, Any]
    typed: Mapping[str, Any]


def settle(request: Request, directory: Path, observer: Observer) -> Recipe:
    """The whole recipe of a run in `directory`: a new one, or the one there with what may change changed.

    Raises `UsageError` for settings that are missing, impossible, or may not change on the way.
    """
    if (directory / "recipe.toml").exists():
        recipe = continued(request, directory, observer)
        refuse_contradictions(recipe)
        warn_of_standstill(recipe, observer)
        use_processor(recipe.training.threads)
        return with_precision(recipe)
    request = descended(request)
    refuse_incomplete(recipes.resolve(request.file, request.typed))
    return begun(request, observer)


def descended(request: Request) -> Request:
    """The request, with what the model decides with whose weights a run is to begin."""
    origin = recipes.resolve(request.file, request.typed).training.init_from
    return Request(*inherited(request.file, request.typed, origin)) if origin else request


def begun(request: Request, observer: Observer) -> Recipe:
    """The whole recipe of a run that begins now; its data need not be named, unless the preset depends on them."""
    plan = with_layout(recipes.resolve(request.file, request.typed))
    refuse_contradictions(plan)
    refuse_uncuttable(plan)
    # The trial of a precision has to come before any other computation.
    use_processor(plan.training.threads)
    precision = with_precision(plan).training.precision
    pairs = count(plan) if plan.preset == "auto" else None
    recipe = with_layout(with_schedule(recipes.resolve(request.file, request.typed, pairs)))
    refuse_contradictions(recipe)
    refuse_uncuttable(recipe)
    warn_of_standstill(recipe, observer)
    return replaced(recipe, precision=precision)


def follow(recipe: Recipe) -> None:
    """Prepare this process for a recipe that another one settled."""
    use_processor(recipe.training.threads)
    with_precision(recipe)  # its trial may have to keep this machine's processor from instructions that kill


def continued(request: Request, directory: Path, observer: Observer) -> Recipe:
    """The recipe of a stopped run, with the settings that are asked for now."""
    old = recipes.load(directory / "recipe.toml")
    questions = {**RESOLVED_AT_START, **named_again(old, request.file, request.typed)}
    typed = {name: value for name, value in request.typed.items() if questions.get(name, ...) != value}
    new = recipes.resolve(recipes.overlaid(old, request.file, questions), typed)
    found = recipes.changes(old, new)
    if found["refuse"]:
        raise UsageError(
            f"{directory} holds a run with other settings, which cannot change on the way",
            *(f"{flag(name)}: {before!r} there, {after!r} now" for name, before, after in found["refuse"]),
            "give the same settings to go on, or another directory with -o to start anew",
        )
    for name, before, after in found["warn"]:
        observer.warn(f"{flag(name)} changes from {before!r} to {after!r}")
    return new


def count(plan: Recipe) -> int:
    """The number of usable training pairs; the preset `auto` chooses the model's size by it."""
    data, account = plan.data, Account()
    corpora = open_corpora(data.train, data.source_lang, data.target_lang, data.strict)
    return sum(1 for corpus in corpora for _ in corpus.pairs(account))


def with_schedule(recipe: Recipe) -> Recipe:
    """The recipe with the end of its schedule fixed, so that a later --max-steps does not bend the past."""
    training = recipe.training
    if training.schedule not in catalog.PLANNED_SCHEDULES or training.decay_steps:
        return recipe
    if not training.max_steps:
        raise UsageError(
            f"--schedule {training.schedule} has to know when it ends", "give --max-steps or --decay-steps"
        )
    return replaced(recipe, decay_steps=training.max_steps)


def with_layout(recipe: Recipe) -> Recipe:
    """The recipe with the layout of its batches, which decides what is learnt in which order."""
    training = recipe.training
    if training.layout != "auto":
        return recipe
    return replaced(recipe, layout="packed" if training.engine == "graph" else "padded")


def warn_of_standstill(recipe: Recipe, observer: Observer) -> None:
    """Say so when steps are asked for in which the learning rate will be 0."""
    training = recipe.training
    if training.schedule in catalog.PLANNED_SCHEDULES and training.max_steps > training.decay_steps:
        observer.warn(
            f"the learning rate reaches 0 at step {training.decay_steps:,}, so that the steps from there to"
            f" {training.max_steps:,} learn nothing: --decay-steps was fixed at the first start; to move the end,"
            f" give --decay-steps {training.max_steps}"
        )


def with_precision(recipe: Recipe) -> Recipe:
    """The recipe with the precision that its device computes in."""
    training = recipe.training
    return replaced(recipe, precision=choose_precision(training.precision, choose_device(training.device)))


def replaced(recipe: Recipe, **values: Any) -> Recipe:
    """The recipe with other training settings."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=values)})
