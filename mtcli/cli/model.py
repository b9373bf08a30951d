"""What the commands that use a trained model share: `-m`, device, threads, precision and decoding flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtcli.errors import ModelError, UsageError
from mtcli.settings import DecodingSettings

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
MACHINE = ("device", "threads", "precision")
"""The training settings that decoding shares; typed for this command only, never taken from a checkpoint."""


@dataclass(frozen=True)
class Loaded:
    """A model on its device, and how to decode with it."""

    restored: Restored
    device: torch.device
    decoding: DecodingSettings
    autocast: AbstractContextManager[None]


def load(models: Sequence[Path], typed: Mapping[str, Any], ensemble: str | None = None) -> Loaded:
    """The models that `-m` names as one, with the decoding settings of the first's recipe changed by typed flags."""
    from mtcli.checkpoint.restore import restore
    from mtcli.cli.flags import settings_of
    from mtcli.decoding.contradiction import refuse_contradictions
    from mtcli.device import choose_device, choose_precision, use_processor
    from mtcli.training.precision import Precision

    use_processor(typed.get("threads", 0))
    device = choose_device(typed.get("device", "auto"))
    # Decoding in fp32 unless told otherwise: bf16 rounds differently in other batches.
    precision = choose_precision(typed.get("precision", "fp32"), device)
    restored = joined([restore(model, device) for model in models], ensemble)
    flags = {name: value for name, value in typed.items() if name not in MACHINE}
    decoding: DecodingSettings = settings_of("decoding", restored.recipe, flags)
    refuse_contradictions(decoding, flags)
    return Loaded(restored, device, decoding, Precision(precision, device).autocast())


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
