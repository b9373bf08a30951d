"""What the processes do in the tests of divided models: this module is what they import when they start."""

from __future__ import annotations

import signal
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from mtcli.device import PrecisionName
from mtcli.model.build import build
from mtcli.settings import ModelSettings, TrainingSettings
from mtcli.training import engine
from mtcli.training.distributed import Together
from mtcli.training.ema import Average
from mtcli.training.interrupt import Interrupt
from mtcli.training.loop import train_step
from mtcli.training.loss import Loss, training_loss
from mtcli.training.optimizer import adamw
from mtcli.training.precision import Precision
from mtcli.training.ranks import Ranks
from mtcli.training.state import Progress, TrainState
from tests.laws import models
from tests.training import ranks as work
from tests.training import test_loop
from tests.training.tiny import Recorder

CPU = torch.device("cpu")


class Kind(NamedTuple):
    """A model, and what is done with it."""

    model: ModelSettings
    training: TrainingSettings = work.CLIPPED
    precision: PrecisionName = "fp32"
    tolerance: float = 1e-7
    """fp32 and bf16 sum in another order: one rank's batches first, or each batch over the ranks first."""


R_DROP = work.CLIPPED.model_copy(update={"r_drop": 5.0})
KINDS = {
    "read twice": Kind(models.settings(dropout=0.3, word_dropout=0.2, tied_embeddings="three-way"), R_DROP),
    "own matrices": Kind(models.settings(dropout=0.3, tied_embeddings="none", positions="learned", norm="post")),
    "positions of all layers": Kind(models.settings(positions="t5", tied_embeddings="two-way")),
    "redrawn features": Kind(models.settings(encoder_attention="performer", redraw_every=1)),
    "recurrent": Kind(models.settings(architecture="recurrent", cross_attention="bahdanau", dropout=0.3)),
    "bf16": Kind(models.settings(), precision="bf16", tolerance=1e-2),
    "fp16": Kind(models.settings(), precision="fp16", tolerance=1e-2),
}


def state_of(kind: Kind, ranks: Ranks, shard: bool, decay: float = 0.0) -> TrainState:
    """A state in float64, or, where a lower precision is asked for, in fp32."""
    torch.manual_seed(5)
    model = build(kind.model, models.VOCABULARY, models.VOCABULARY, joint=True)
    if kind.precision == "fp32":
        model.double()
    average = Average(model, decay) if decay else None
    holding = ranks.hold([model, *([average.model] if average else [])], CPU, shard)
    optimizer = adamw(model, kind.training)
    holding.follow(optimizer)
    precision = Precision(kind.precision, CPU)
    return TrainState(model, optimizer, precision, Progress(), "", ranks, average, holding)


def steps(kind: Kind, ranks: Ranks, shard: bool, decay: float = 0.0, count: int = 3) -> dict[str, Any]:
    """The gradients of some steps one after the other, the norms, the losses and, whole, the weights and moments."""
    group = work.share(test_loop.group(*work.SPLIT), ranks)
    state = state_of(kind, ranks, shard, decay)
    gradient = test_loop.gradient(state, group, kind.training)
    metrics = [train_step(state, group, kind.training) for _ in range(count - 1)]
    return {
        "gradient": torch.cat([full(part).flatten() for part in gradient]),
        "weights": everything(state.weights()),
        "moments": everything(state.resume().tensors),
        "norms": [each.gradient_norm for each in metrics],
        "losses": [each.loss.item() for each in metrics],
        "skipped": (state.progress.skipped, state.progress.rescaled, state.precision.scale),
    }


def everything(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies, whole, by a way of their own; no random states, which processes need not share."""
    return {name: full(x).clone() for name, x in tensors.items() if not name.startswith("random")}


def full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def kinds(ranks: Together) -> dict[str, Any]:
    """Each kind of model, held whole by both ranks and divided among them."""
    return {
        name: tuple(steps(kind, ranks, shard, count=2) for shard in (False, True)) for name, kind in KINDS.items()
    }


PLAIN = Kind(models.settings(dropout=0.0))


def poison(ranks: Together) -> tuple[bool, int]:
    """Whether a loss that is not finite at the last rank changes this rank's part, and how many are counted."""
    state = state_of(PLAIN, ranks, shard=True)
    before = deepcopy(work.digest_of(state.weights()))

    def spoilt(*arguments: Any) -> Loss:
        loss = training_loss(*arguments)
        return replace(loss, total=loss.total * float("nan")) if ranks.rank == ranks.world - 1 else loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "training_loss", spoilt)
        train_step(state, work.share(test_loop.group(*work.SPLIT), ranks), work.CLIPPED)
    return work.digest_of(state.weights()) != before, state.progress.skipped


def stored(ranks: Together) -> dict[str, Any]:
    """What a rank holds, lends and gathers of a model with an average."""
    state = state_of(PLAIN, ranks, shard=True, decay=0.5)
    for _ in range(2):
        train_step(state, work.share(test_loop.group(*work.SPLIT), ranks), work.CLIPPED)
    resume = state.resume()
    batch = models.batch(3, [3, 1], [2, 4])
    with state.holding.whole(state.judged) as model, torch.no_grad():
        logits = model.eval()(batch)
        tied = model.output.weight is model.source.table.weight
    weights, moments = everything(state.weights()), everything(resume.tensors)
    reborn = [state_of(PLAIN, ranks, shard=True, decay=0.5) for _ in range(2)]
    reborn[0].restore(weights, replace(resume, tensors=resume.tensors | moments))
    reborn[1].restore(state.weights(), resume)
    held = [*state.model.parameters(), *(x for x in resume.tensors.values() if isinstance(x, DTensor))]
    return {
        "expected": (weights, moments),
        "gathered": (state.holding.gathered(state.weights()), state.holding.gathered(resume.tensors)),
        "logits": logits,
        "tied": tied,
        "hollow": all(parameter.is_meta for parameter in model.parameters()),
        "share": sum(local(x).numel() for x in held) / sum(x.numel() for x in held),
        "largest": max(
            local(x).untyped_storage().nbytes() / x.element_size() / x.numel() for x in held if x.dim() > 1
        ),
        "reborn": [parts(each) == parts(state) for each in reborn],
    }


def parts(state: TrainState) -> tuple[str, str]:
    """What this rank has of all weights and moments, in a few characters."""
    moments = state.resume().tensors
    return work.digest_of(state.weights()), work.digest_of({name: moments[name] for name in sorted(moments)})


def local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def look(ranks: Together, folder: Path) -> dict[str, Any]:
    """Everything that takes no run."""
    parts = PLAIN._replace(training=work.CLIPPED.model_copy(update={"split": 2}))
    return {
        "kinds": kinds(ranks),
        "plain": steps(PLAIN, ranks, shard=True, decay=0.5),
        "parts": steps(parts, ranks, shard=True),
        "naive": work.mean_of_means(ranks),
        "poison": poison(ranks),
        "stored": stored(ranks),
    }


def runs(ranks: Together, folder: Path, flags: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """A whole run; one that a signal at the last rank stops, taken up again; one to go on, and one to go on with."""
    interrupt, again, after = Interrupt(), Recorder(), Recorder()
    found = {"whole": work.run(flags, folder / "whole", ranks, Recorder(), Interrupt())}
    with work.acting(lambda run: interrupt.note(signal.SIGTERM, None) if work.is_last_at(run, 5) else None):
        found["stopped"] = work.run(flags, folder / "parts", ranks, Recorder(), interrupt)
    found["again"] = work.run(flags, folder / "parts", ranks, again, Interrupt())
    found["plain"] = work.run(plain, folder / "plain", ranks, Recorder(), Interrupt())
    found["alone"] = work.run({**plain, "max_steps": 6}, folder / "alone", ranks, after, Interrupt())
    steps_of = {"steps again": again, "steps after": after}
    return found | {name: [each.step for each in recorder.standings] for name, recorder in steps_of.items()}
