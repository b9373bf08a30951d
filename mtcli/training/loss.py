"""What training minimises: label-smoothed cross-entropy as a sum, never a mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from mtcli.kernels.cross_entropy import smoothed_cross_entropy
from mtcli.layout import Batch
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import TrainingSettings
from mtcli.training.consistency import r_drop_loss, simcut_loss
from mtcli.training.guidance import Guided, guided_loss


@dataclass(frozen=True)
class Loss:
    """Sums over target tokens, in nats, and how many they were; the division happens once per optimizer step."""

    total: Float[Tensor, ""]
    """What is minimised."""
    cross_entropy: Float[Tensor, ""]
    """The part of it that all settings share, so that their losses compare; without a gradient."""
    tokens: int


def training_loss(model: Seq2Seq[Any], batch: Batch, settings: TrainingSettings) -> Loss:
    """What a step minimises: the loss of a batch, with what the settings add to it."""
    smoothing = settings.label_smoothing
    if settings.r_drop:
        return Loss(*r_drop_loss(model, batch, smoothing, settings.r_drop), batch.target_tokens)
    if settings.guided_alignment:
        assert isinstance(batch, Guided)
        return Loss(*guided_loss(model, batch, smoothing, settings.guided_alignment), batch.target_tokens)
    if settings.simcut:
        sums = simcut_loss(model, batch, smoothing, settings.simcut, settings.simcut_rate)
        return Loss(*sums, batch.target_tokens)
    return batch_loss(model, batch, smoothing)


def batch_loss(model: Seq2Seq[Any], batch: Batch, smoothing: float) -> Loss:
    """The loss of a batch on the model's device; padding plays no part."""
    real = batch.target_rows.valid
    readout = model.readout(batch)[real]
    total = smoothed_cross_entropy(readout, model.output.weight, batch.target_out[real], smoothing)
    return Loss(total, total.detach(), len(readout))
