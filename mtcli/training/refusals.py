"""What cannot be trained, and why: said before anything expensive happens."""

from __future__ import annotations

from pathlib import Path

from mtcli.data.subwords import kinds
from mtcli.data.tokenizer import Tokenizer
from mtcli.decoding.contradiction import refuse_impossible as refuse_impossible_search
from mtcli.device import choose_device
from mtcli.errors import UsageError
from mtcli.model.build import longest, refuse_impossible, supports_attention, unpackable
from mtcli.recipe import flag
from mtcli.settings import Recipe
from mtcli.training.guidance import refuse_unguided
from mtcli.training.origin import refuse_groundless

ELEMENTWISE = ("adamw",)
"""Optimizers that move each number by itself."""


def refuse_incomplete(plan: Recipe) -> None:
    """Raise `UsageError` for data that were not named."""
    for name in ("train", "valid", "source_lang", "target_lang"):
        if not getattr(plan.data, name):
            raise UsageError(
                f"{flag(name)} is missing",
                "for example: mtcli train --train data/train --valid data/valid -s en -t de -o runs/en-de",
            )


def refuse_contradictions(recipe: Recipe) -> None:
    """Raise `UsageError` for settings that do not go together, whatever the data are."""
    refuse_impossible(recipe.model, recipe.tokenizer.joint)
    refuse_unplaceable(recipe)
    refuse_undecodable(recipe)
    refuse_two_losses(recipe)
    refuse_unguided(recipe)
    refuse_groundless(recipe)
    refuse_unpackable(recipe)
    refuse_unrecordable(recipe)
    refuse_unmovable(recipe)
    refuse_unshardable(recipe)


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


def refuse_unpackable(recipe: Recipe) -> None:
    """Raise `UsageError` if sentences are to share rows that this model cannot read."""
    reasons = unpackable(recipe.model)
    if recipe.training.layout == "packed" and reasons:
        raise UsageError(
            "batches of this model cannot be packed", *(f"- {reason}" for reason in reasons), "give --layout padded"
        )


def refuse_unrecordable(recipe: Recipe) -> None:
    """Raise `UsageError` if steps are to be recorded that a recording cannot hold."""
    training = recipe.training
    if training.engine != "graph":
        return
    reasons = {
        "CUDA graphs need a CUDA device": choose_device(training.device).type != "cuda",
        "batches must have one shape (--layout packed), and this run began with others": training.layout != "packed",
        "fp16 asks the device in each step whether its gradients were finite": training.precision == "fp16",
        "which blocks are skipped (--layer-dropout) is decided anew in each step": recipe.model.layer_dropout > 0,
    }
    if any(reasons.values()):
        raise UsageError(
            "the steps of this run cannot be recorded (--engine graph)",
            *(f"- {reason}" for reason, holds in reasons.items() if holds),
        )


def refuse_unmovable(recipe: Recipe) -> None:
    """Raise `UsageError` if whole matrices are to be moved where there are none, or by a rate that is not there."""
    training = recipe.training
    if training.optimizer in ELEMENTWISE:
        return
    if training.engine == "graph":
        raise UsageError(
            f"--optimizer {training.optimizer} takes its rate from the processor, and a recorded step has it on the"
            " device",
            f"choose --optimizer {ELEMENTWISE[0]}, or another engine",
        )
    if training.lora_rank:
        raise UsageError(
            f"--optimizer {training.optimizer} moves whole matrices, and with --lora-rank none of them learns",
            f"choose --optimizer {ELEMENTWISE[0]}",
        )


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
    for name, value in (("lora_rank", training.lora_rank), ("guided_alignment", training.guided_alignment)):
        if value:
            raise UsageError(f"--shard does not go together with {flag(name)}", "choose one of them")
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
