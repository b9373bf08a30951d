"""What the commands that use a trained model share: `-m`, device, threads, precision and decoding flags."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtcli.settings import DecodingSettings

if TYPE_CHECKING:
    import torch

    from mtcli.checkpoint.restore import Restored

ModelOption = Annotated[Path, typer.Option("--model", "-m", help="a run, or one checkpoint directory")]
MACHINE = ("device", "threads", "precision")
"""The training settings that decoding shares; typed for this command only, never taken from a checkpoint."""


@dataclass(frozen=True)
class Loaded:
    """A model on its device, and how to decode with it."""

    restored: Restored
    device: torch.device
    decoding: DecodingSettings
    autocast: AbstractContextManager[None]


def load(model: Path, typed: Mapping[str, Any]) -> Loaded:
    """The model that `-m` names, with the decoding settings of its recipe changed by typed flags."""
    from mtcli.checkpoint.restore import restore
    from mtcli.cli.flags import settings_of
    from mtcli.decoding.contradiction import refuse_contradictions
    from mtcli.device import choose_device, choose_precision, use_processor
    from mtcli.training.precision import Precision

    use_processor(typed.get("threads", 0))
    device = choose_device(typed.get("device", "auto"))
    # Decoding in fp32 unless told otherwise: bf16 rounds differently in other batches.
    precision = choose_precision(typed.get("precision", "fp32"), device)
    restored = restore(model, device)
    flags = {name: value for name, value in typed.items() if name not in MACHINE}
    decoding: DecodingSettings = settings_of("decoding", restored.recipe, flags)
    refuse_contradictions(decoding, flags)
    return Loaded(restored, device, decoding, Precision(precision, device).autocast())
