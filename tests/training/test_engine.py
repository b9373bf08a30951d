"""All engines take the same steps; packed batches teach what padded ones do, and are refused where they cannot be."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtcli.data.ahead import Ahead
from mtcli.data.batches import Batches, Place
from mtcli.data.encoded import Encoded
from mtcli.data.packing import Packing
from mtcli.errors import UsageError
from mtcli.kernels.graph import Function, as_it_is
from mtcli.settings import ModelSettings, Recipe, TrainingSettings
from mtcli.training.engine import Eager, Engine
from mtcli.training.loop import Group, train_step
from mtcli.training.meter import StepMetrics
from mtcli.training.recorded import Recorded
from mtcli.training.refusals import refuse_unpackable, refuse_unrecordable
from mtcli.training.state import TrainState
from tests.training.test_loop import exact
from tests.training.tiny import run, same_weights, stored, wishes

PAIRS = 12
SETTINGS = TrainingSettings(lr=1e-2, warmup_steps=2, max_tokens=24)


def corpus() -> Encoded:
    generator = np.random.default_rng(3)
    sides = ([generator.integers(4, 15, generator.integers(1, 8)).tolist() for _ in range(PAIRS)] for _ in "st")
    return Encoded.of(*sides)


def packed(count: int, each: int = 1) -> list[Group]:
    """The first groups of a packed corpus."""
    data = corpus()
    stream = Batches(data, 24, 1, Packing.of(data, 24, 9)).from_(Place())
    return [list(islice(stream, each)) for _ in range(count)]


def taken(
    engine: Engine, groups: list[Group], settings: TrainingSettings = SETTINGS
) -> tuple[TrainState, list[StepMetrics]]:
    torch.manual_seed(1)
    state = exact()
    metrics = [train_step(state, group, settings, engine) for group in groups]
    return state, metrics


@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("kit", [{}, {"r_drop": 3.0}, {"clip": 0.0}, {"label_smoothing": 0.0}], ids=str)
def test_a_recorded_step_is_an_eager_step(kit: dict[str, float], each: int) -> None:
    settings = SETTINGS.model_copy(update={**kit, "accumulate": each})
    (one, expected), (other, found) = (
        taken(engine, packed(6, each), settings) for engine in (Eager(), Recorded(as_it_is))
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.loss.item() == pytest.approx(theirs.loss.item(), rel=1e-6)
        assert ours.gradient_norm == pytest.approx(theirs.gradient_norm, rel=1e-5)
    torch.testing.assert_close(other.weights(), one.weights(), rtol=1e-5, atol=1e-6)
    assert other.progress.step == one.progress.step == 6


class Counted:
    """Records as on a processor, and counts how often."""

    def __init__(self) -> None:
        self.recordings = 0

    def __call__(self, function: Function) -> tuple[torch.Tensor, Function]:
        self.recordings += 1
        return as_it_is(function)


def test_it_is_recorded_once_and_again_after_the_moments_were_replaced() -> None:
    record = Counted()
    engine = Recorded(record)
    state, _ = taken(engine, packed(3))
    assert record.recordings == 1
    resume = state.resume()
    stored = replace(resume, tensors={name: tensor.clone() for name, tensor in resume.tensors.items()})
    state.restore(state.weights(), stored)
    train_step(state, packed(4)[3], SETTINGS, engine)
    assert record.recordings == 2


def test_an_update_that_is_not_finite_is_left_out_on_the_device() -> None:
    engine = Recorded(as_it_is)
    state, _ = taken(engine, packed(2))
    before = {name: weight.clone() for name, weight in state.weights().items()}
    hook = next(state.model.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    metrics = train_step(state, packed(3)[2], SETTINGS, engine)
    assert not np.isfinite(metrics.gradient_norm)
    assert state.progress.skipped == 1
    torch.testing.assert_close(state.weights(), before, rtol=0, atol=0)
    hook.remove()
    train_step(state, packed(4)[3], SETTINGS, engine)
    assert any(not torch.equal(weight, before[name]) for name, weight in state.weights().items())


class Short:
    """Records that run out of memory at a step."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, function: Function) -> tuple[torch.Tensor, Function]:
        return function(), lambda: self.run_out(function)

    def run_out(self, function: Function) -> torch.Tensor:
        self.left -= 1
        if self.left == 0:
            raise torch.OutOfMemoryError
        return function()


def test_when_memory_runs_out_the_eager_engine_goes_on_in_parts() -> None:
    """Also after an update that the device left out: the next one must not be."""
    found = []
    for engine in (Eager(), Recorded(Short(at=2))):
        state, groups = exact(), packed(6)
        losses = [train_step(state, groups[0], SETTINGS, engine).loss.item()]
        hook = next(state.model.parameters()).register_hook(lambda gradient: gradient * float("inf"))
        train_step(state, groups[1], SETTINGS, engine)
        hook.remove()
        losses += [train_step(state, group, SETTINGS, engine).loss.item() for group in groups[2:]]
        found.append((losses, state.weights()))
    assert state.progress.split_doublings == 1
    assert state.progress.skipped == 1
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kit", [{}, {"r_drop": 5.0, "ema": 0.9, "unigram_temperature": 3.0, "word_dropout": 0.1}])
def test_a_packed_run_resumed_in_the_middle_of_an_epoch(kit: dict[str, Any], corpora: Path, tmp_path: Path) -> None:
    flags = wishes(corpora, layout="packed", **kit)
    whole = run(flags, tmp_path / "whole")
    run({**flags, "max_steps": 5}, tmp_path / "run")
    resume = stored(tmp_path / "run", 5).resume
    assert resume is not None
    assert resume.values["progress"]["place"]["index"] > 0
    again = run(flags, tmp_path / "run")
    assert same_weights(again.checkpoint(20), whole.checkpoint(20))
    assert whole.recorder.standings[-1].loss < whole.recorder.standings[0].loss


def test_batches_made_ahead_are_the_same() -> None:
    batches = Batches(corpus(), 24, 5)
    plain, ahead = (islice(each.from_(Place()), 20) for each in (batches, Ahead(batches)))
    for (one, behind), (other, then) in zip(plain, ahead, strict=True):
        assert torch.equal(one.source, other.source)
        assert behind == then


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"positions": "alibi"}, "change attention logits"),
        ({"encoder_attention": "linear"}, "cannot tell sentences apart"),
        ({"architecture": "recurrent", "cross_attention": "luong-dot"}, "would read on"),
        ({"attention_dropout": 0.1}, "--attention-dropout"),
    ],
)
def test_what_cannot_be_packed_is_refused(model: dict[str, Any], reason: str) -> None:
    recipe = Recipe(model=ModelSettings(**model))
    refuse_unpackable(recipe)
    wanted = recipe.model_copy(update={"training": recipe.training.model_copy(update={"layout": "packed"})})
    with pytest.raises(UsageError) as caught:
        refuse_unpackable(wanted)
    assert reason in str(caught.value)


def test_a_processor_has_no_graphs() -> None:
    recipe = Recipe()
    graph = recipe.training.model_copy(update={"engine": "graph", "layout": "packed", "device": "cpu"})
    with pytest.raises(UsageError, match="CUDA"):
        refuse_unrecordable(recipe.model_copy(update={"training": graph}))
