"""What the commands that use a trained model share: `-m`, device, threads, precision, workers and decoding flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtcli.errors import ModelError, UsageError
from mtcli.settings import DecodingSettings, ModelSettings

if TYPE_CHECKING:
    import torch

    from mtcli.checkpoint.restore import Restored

ModelOption = Annotated[Path, typer.Option("--model", "-m", help="a run, or one checkpoint directory")]
MODELS = "a run, or one checkpoint directory; several are one ensemble"
ModelsOption = Annotated[list[Path], typer.Option("--model", "-m", help=MODELS)]
EnsembleOption = Annotated[
    str | None,
    typer.Option(
        "--ensemble",
        help="several models: the mean of their log-probabilities (log-linear) or probabilities (linear)"
        " [default: log-linear]",
    ),
]
PrecisionOption = Annotated[
    str, typer.Option(help="arithmetic: fp32; bf16, fp16; auto: bf16 where it is fast; int8, on processors only")
]
WorkersOption = Annotated[
    int,
    typer.Option(min=0, max=4096, help="processes of one thread each for more than a few lines; 0: one per thread"),
]
MACHINE = ("device", "threads")
"""The training settings that decoding shares; typed for this command only, never taken from a checkpoint."""


@dataclass(frozen=True)
class Loaded:
    """A model on its device, and how to decode with it."""

    restored: Restored
    device: torch.device
    decoding: DecodingSettings
    workers: int
    precision: str
    """The one that `auto` stands for, if that was asked for."""
    members: tuple[ModelSettings, ...]
    """What each model of an ensemble is, or the one model."""


def load(
    models: Sequence[Path],
    typed: Mapping[str, Any],
    ensemble: str | None = None,
    precision: str = "fp32",
    workers: int = 1,
) -> Loaded:
    """The models that `-m` names as one, with the decoding settings of the first's recipe changed by typed flags."""
    from mtcli.checkpoint.restore import restore
    from mtcli.cli.flags import settings_of
    from mtcli.decoding.contradiction import refuse_contradictions
    from mtcli.device import choose_device, use_processor

    use_processor(typed.get("threads", 0))
    device = choose_device(typed.get("device", "auto"))
    precision = precision_for(precision, device)
    members = [ready(restore(model, device), precision, device) for model in models]
    restored = joined(members, ensemble)
    flags = {name: value for name, value in typed.items() if name not in MACHINE}
    decoding: DecodingSettings = settings_of("decoding", restored.recipe, flags)
    refuse_contradictions(decoding, flags, restored.model.supports_attention)
    kinds = tuple(member.recipe.model for member in members)
    return Loaded(restored, device, decoding, workers_for(workers, device), precision, kinds)


def precision_for(name: str, device: torch.device) -> str:
    """The arithmetic that a name stands for on a device; `UsageError` if it has none such."""
    from mtcli.device import DTYPE, choose_precision

    if name not in ("auto", "int8", *DTYPE):
        raise UsageError(f"there is no precision {name!r}", "choose fp32, bf16, fp16, int8 or auto")
    if name == "int8" and device.type != "cpu":
        raise UsageError("--precision int8 is for processors", "on a GPU, bf16 is fast: --precision bf16")
    return name if name == "int8" else choose_precision(name, device)


def ready(restored: Restored, precision: str, device: torch.device) -> Restored:
    """The same with a model in the form that decodes fastest."""
    from mtcli.model.frozen import freeze, precision_of_memory
    from mtcli.model.steady import steady
    from mtcli.model.unrolled import unrolled

    freeze(restored.model, precision, device)
    model = unrolled(restored.model, precision_of_memory(precision, device))
    return replace(restored, model=steady(model, device))


def workers_for(wanted: int, device: torch.device) -> int:
    """How many processes translate beside each other; 1: this one alone, with all its threads."""
    import torch

    from mtcli.decoding.workers import possible

    if device.type != "cpu" or not possible():
        return 1
    return wanted or torch.get_num_threads()


def joined(members: list[Restored], ensemble: str | None) -> Restored:
    """The first of the models, or all as one; `ModelError` if they do not have the same tokenizer."""
    first = members[0]
    if len(members) == 1:
        if ensemble is not None:
            raise UsageError("--ensemble means nothing with one model", "name each model with a -m of its own")
        return first
    from mtcli import catalog
    from mtcli.decoding.ensemble import Ensemble

    for other in members[1:]:
        if other.tokenizer.files() != first.tokenizer.files():
            raise ModelError(
                f"{first.path} and {other.path} have different tokenizers, so their predictions cannot be mixed",
                "train the second with the tokenizer of the first: mtcli train --tokenizer DIRECTORY",
            )
    mix = catalog.load("ensemble", ensemble or "log-linear")
    return replace(first, model=Ensemble([member.model for member in members], mix).eval())
