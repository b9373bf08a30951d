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
    """Sums over target tokens, in nats; the division by their number happens once per optimizer step."""

    total: Float[Tensor, ""]
    """What is minimised."""
    cross_entropy: Float[Tensor, ""]
    """The part of it that all settings share, so that their losses compare; without a gradient."""


def training_loss(model: Seq2Seq[Any], batch: Batch, settings: TrainingSettings) -> Loss:
    """What a step minimises: the loss of a batch, with what the settings add to it."""
    smoothing = settings.label_smoothing
    if settings.r_drop:
        return Loss(*r_drop_loss(model, batch, smoothing, settings.r_drop))
    if settings.guided_alignment:
        assert isinstance(batch, Guided)
        return Loss(*guided_loss(model, batch, smoothing, settings.guided_alignment))
    if settings.simcut:
        return Loss(*simcut_loss(model, batch, smoothing, settings.simcut, settings.simcut_rate))
    return batch_loss(model, batch, smoothing)


def batch_loss(model: Seq2Seq[Any], batch: Batch, smoothing: float) -> Loss:
    """The loss of a batch on the model's device; padding plays no part."""
    both = model.readout(batch).flatten(0, 1), batch.target_out.flatten()
    readout, target = map(batch.target_rows.real, both)
    total = smoothed_cross_entropy(readout, model.output.weight, target, smoothing)
    return Loss(total, total.detach())
