"""What a run is going to do: its recipe, settled before anything expensive happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtcli import catalog
from mtcli import recipe as recipes
from mtcli.data.corpus import Account, open_corpora
from mtcli.data.subwords import kinds
from mtcli.data.tokenizer import Tokenizer
from mtcli.decoding.contradiction import refuse_impossible as refuse_impossible_search
from mtcli.device import choose_device, choose_precision, use_processor
from mtcli.errors import UsageError
from mtcli.model.build import longest, refuse_impossible, supports_attention
from mtcli.recipe import flag
from mtcli.settings import Recipe
from mtcli.training.observer import Observer
from mtcli.training.origin import inherited, named_again

ELEMENTWISE = ("adamw",)
"""Optimizers that move each number by itself."""
RESOLVED_AT_START: dict[str, Any] = {
    "preset": "auto",
    "precision": "auto",
    "decay_steps": 0,
    "max_tokens": "auto",
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
        refuse_undecodable(recipe)
        refuse_two_losses(recipe)
        refuse_unshardable(recipe)
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
    plan = recipes.resolve(request.file, request.typed)
    refuse_impossible(plan.model, plan.tokenizer.joint)
    refuse_unplaceable(plan)
    refuse_undecodable(plan)
    refuse_two_losses(plan)
    refuse_unshardable(plan)
    refuse_uncuttable(plan)
    # The trial of a precision has to come before any other computation.
    use_processor(plan.training.threads)
    precision = with_precision(plan).training.precision
    pairs = count(plan) if plan.preset == "auto" else None
    recipe = with_schedule(recipes.resolve(request.file, request.typed, pairs))
    refuse_impossible(recipe.model, recipe.tokenizer.joint)
    refuse_unplaceable(recipe)
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


def refuse_incomplete(plan: Recipe) -> None:
    """Raise `UsageError` for data that were not named."""
    for name in ("train", "valid", "source_lang", "target_lang"):
        if not getattr(plan.data, name):
            raise UsageError(
                f"{flag(name)} is missing",
                "for example: mtcli train --train data/train --valid data/valid -s en -t de -o runs/en-de",
            )


def refuse_unplaceable(recipe: Recipe) -> None:
    """Raise `UsageError` if training pairs may be longer than the model can hold."""
    limit, length = longest(recipe.model), recipe.data.max_length + 1
    if limit and limit < length:
        raise UsageError(
            f"this model holds at most {limit} tokens, EOS included, but training pairs may have {length}",
            f"give --max-length {limit - 1} to drop longer pairs, or --max-positions {length}",
        )


def refuse_undecodable(recipe: Recipe) -> None:
    """Raise `UsageError` if validation, or translation after training, cannot decode as the recipe says."""
    decoding, attention = recipe.decoding, supports_attention(recipe.model)
    refuse_impossible_search(decoding.decoding, decoding, attention)
    validation = decoding.model_copy(update={"n_best": 1})
    refuse_impossible_search(recipe.training.validation_decoding, validation, attention)


def refuse_two_losses(recipe: Recipe) -> None:
    """Raise `UsageError` for ways of reading a batch twice that exclude each other."""
    if recipe.training.r_drop and recipe.training.simcut:
        raise UsageError("--r-drop and --simcut both read each batch twice, in different ways", "choose one of them")


def refuse_unshardable(recipe: Recipe) -> None:
    """Raise `UsageError` for what processes that divide a model among them cannot do."""
    training = recipe.training
    if not training.shard:
        return
    if not training.split:
        raise UsageError(
            "--shard cannot try out how much memory there is: where it ends for one process, the others wait for it",
            "give --max-tokens and --split",
        )
    if recipe.model.layer_dropout:
        raise UsageError(
            "--shard and --layer-dropout exclude each other: processes gather each layer at the same time, and so"
            " cannot skip different ones"
        )
    if training.optimizer not in ELEMENTWISE:
        raise UsageError(
            f"--shard divides matrices by rows, and --optimizer {training.optimizer} needs them whole",
            f"choose --optimizer {ELEMENTWISE[0]}",
        )


def refuse_uncuttable(recipe: Recipe) -> None:
    """Raise `UsageError` if text is to be cut at random in a way that is not its tokenizer's."""
    named, training = recipe.tokenizer.tokenizer, recipe.training
    asked = {"bpe": "bpe_dropout", "unigram": "unigram_temperature"}
    asked = {kind: name for kind, name in asked.items() if getattr(training, name)}
    if not asked:
        return
    found = kinds(Tokenizer.load(Path(named))) if named else {recipe.tokenizer.tokenizer_model}
    for kind, name in asked.items():
        if kind not in found:
            raise UsageError(
                f"{flag(name)} is for {kind} tokenizers, and {named or 'the one to be trained'} is none",
                "--bpe-dropout is for --tokenizer-model bpe, --unigram-temperature for --tokenizer-model unigram",
            )


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
