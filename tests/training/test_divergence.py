"""A run that diverges goes back and on at half the rate; one that does not is left alone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mtcli.checkpoint import steps
from mtcli.checkpoint.store import Checkpoint
from mtcli.errors import DivergenceError, InterruptedRun
from mtcli.training import divergence, engine
from mtcli.training.divergence import HIGH_WINDOWS, WINDOW, SetbackError, notice
from mtcli.training.interrupt import Interrupt
from mtcli.training.loss import Loss, training_loss
from mtcli.training.meter import StepMetrics
from mtcli.training.schedule import learning_rate
from mtcli.training.state import TrainState
from tests.checkpoint.examples import identical
from tests.laws import models
from tests.training.test_loop import fresh
from tests.training.tiny import Recorder, Trained, run, same_state, same_weights, stored, wishes

KNOWS_NOTHING = math.log(models.VOCABULARY)


def live(losses: list[float], state: TrainState) -> None:
    """Take steps with these losses, in nats per token."""
    for loss in losses:
        state.progress.step += 1
        notice(state, StepMetrics(torch.tensor(7 * loss), 7, 14, 1.0, 0.1))


def noticed(losses: list[float]) -> int | None:
    """The step at which a run with these losses diverged; None if it did not."""
    state = fresh()
    try:
        live(losses, state)
    except SetbackError:
        return state.progress.step
    return None


def noisy(draw: random.Random, level: Callable[[int], float], count: int) -> list[float]:
    """Losses as of small batches: each step is off by a third, and one in fifty is far off."""
    return [
        level(step) * draw.uniform(0.7, 1.3) + (4 * draw.random() if draw.random() < 0.02 else 0)
        for step in range(count)
    ]


def learning(step: int) -> float:
    return 0.3 + KNOWS_NOTHING * math.exp(-step / 150)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "level",
    [
        learning,
        lambda step: learning(step) + 0.9 * (step % 500 > 400),  # a restarted schedule
        lambda step: (
            learning(step) + 4 * (step > 499 and step % 500 < (HIGH_WINDOWS - 1) * WINDOW)
        ),  # spikes that heal
        lambda step: 0.2 + 0.9 * min(1, step / 300),  # fine-tuning: the warm-up unsettles what was learned
        lambda step: KNOWS_NOTHING,  # a model that learns nothing has not diverged
    ],
)
def test_what_goes_on_learning_is_left_alone(level: Callable[[int], float], seed: int) -> None:
    assert noticed(noisy(random.Random(seed), level, 1500)) is None


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("begins", [40, 333, 1000])
@pytest.mark.parametrize("height", [KNOWS_NOTHING + 1.3, 50.0])
def test_what_has_lost_what_it_learned_is_noticed(height: float, begins: int, seed: int) -> None:
    losses = noisy(random.Random(seed), lambda step: learning(step) if step < begins else height, 1500)
    step = noticed(losses)
    assert step is not None
    assert begins + (HIGH_WINDOWS - 1) * WINDOW < step <= begins + (HIGH_WINDOWS + 1) * WINDOW


def test_losses_that_are_no_numbers_are_left_to_the_count_of_updates() -> None:
    """Among them are those of fp16 while it looks for its scale."""
    state = fresh()
    live([1.0, math.nan, math.inf] * 100, state)
    assert state.progress.trend.lowest == pytest.approx(1.0)


def test_the_sound_step_is_before_what_went_wrong() -> None:
    begins, state = 205, fresh()
    with pytest.raises(SetbackError) as caught:
        live([9.0 if step >= begins else 0.5 for step in range(1, 1000)], state)
    assert begins - 2 * WINDOW < caught.value.sound < begins


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten steps are enough to judge."""
    monkeypatch.setattr(divergence, "WINDOW", 2)


class Spoilt:
    """A loss that is multiplied by something when the run says so, some steps long."""

    def __init__(self, patch: pytest.MonkeyPatch, factor: float, calls: int) -> None:
        self.factor, self.calls = factor, calls
        self.on = False
        patch.setattr(engine, "training_loss", self)

    def __call__(self, *arguments: Any) -> Loss:
        loss = training_loss(*arguments)
        self.calls -= self.on
        if not self.on or self.calls < 0:
            return loss
        return replace(loss, total=loss.total * self.factor, cross_entropy=loss.cross_entropy * self.factor)

    def begin(self) -> None:
        self.on = True


LONG = {"max_steps": 30, "validate_every": 100, "save_every": 5, "accumulate": 1, "max_tokens": 200, "patience": 0}


def spoilt_run(corpora: Path, directory: Path, at: int, spoilt: Spoilt, **changes: Any) -> Trained:
    return run(wishes(corpora, **{**LONG, **changes}), directory, Recorder({at: spoilt.begin}))


@pytest.mark.parametrize(("factor", "calls"), [(math.nan, 10), (1000.0, 9)], ids=["not finite", "high"])
@pytest.mark.usefixtures("short")
def test_a_run_goes_back_to_before_and_on_at_half_the_rate(
    factor: float, calls: int, corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = Spoilt(monkeypatch, factor, calls)
    ended = spoilt_run(corpora, tmp_path / "run", 17, spoilt)
    seen = [standing.step for standing in ended.recorder.standings]
    first = 16 if math.isnan(factor) else 11
    back = seen.index(first, 17)
    assert seen == [*seen[:back], *range(first, 31)], "from the last checkpoint before"
    settings = ended.checkpoint(30).recipe.training
    assert [each.lr for each in ended.recorder.standings[back:]] == [
        learning_rate(s, settings) / 2 for s in seen[back:]
    ]
    assert [each.rate_halvings for each in ended.recorder.standings] == [0] * back + [1] * (31 - first)
    (told,) = [sentence for sentence in ended.recorder.warned if "diverged" in sentence]
    assert f"back to step {first - 1}, and on with half the learning rate, 5.0e-03" in told
    (event,) = ended.events("rollback")
    assert (event["step"], event["back_to"], event["lr"]) == (17 + calls, first - 1, 5e-3)


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}, {"r_drop": 5.0}], ids=["plain", "average", "R-Drop"])
@pytest.mark.usefixtures("short")
def test_what_follows_is_what_follows_from_that_checkpoint(
    changes: dict[str, Any], corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, moments, averages, random numbers and data are the checkpoint's: nothing else is left of what was."""
    ended = spoilt_run(corpora, tmp_path / "run", 17, Spoilt(monkeypatch, math.nan, 10), **changes)
    monkeypatch.setattr(engine, "training_loss", training_loss)
    run(wishes(corpora, **{**LONG, **changes, "max_steps": 15}), tmp_path / "other")
    other = run(wishes(corpora, **LONG, **changes, lr=5e-3), tmp_path / "other")
    assert same_tensors(ended.checkpoint(30), other.checkpoint(30))


def same_tensors(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether weights, and whatever else is stored as tensors, are the same."""
    assert one.resume
    assert other.resume
    return same_weights(one, other) and identical(one.resume.tensors, other.resume.tensors)


@pytest.mark.parametrize("begins_with_another", [False, True])
@pytest.mark.usefixtures("short")
def test_without_a_checkpoint_a_run_starts_anew(
    begins_with_another: bool, whole: Trained, corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"save_every": 100}
    if begins_with_another:
        changes |= {"init_from": str(whole.directory), "ema": 0.9}
    ended = spoilt_run(corpora, tmp_path / "run", 17, Spoilt(monkeypatch, math.nan, 10), **changes)
    monkeypatch.setattr(engine, "training_loss", training_loss)
    other = run(wishes(corpora, **{**LONG, **changes}, lr=5e-3), tmp_path / "other")
    assert same_tensors(ended.checkpoint(30), other.checkpoint(30))
    assert any("back to the start" in sentence for sentence in ended.recorder.warned)


@pytest.mark.parametrize(("step", "halvings"), [(23, 0), (28, 1)], ids=["while it diverges", "after the rollback"])
@pytest.mark.usefixtures("short")
def test_stopped_and_taken_up_again(
    step: int, halvings: int, corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = spoilt_run(corpora, tmp_path / "whole", 17, Spoilt(monkeypatch, math.nan, 10))
    spoilt, interrupt = Spoilt(monkeypatch, math.nan, 10), Interrupt()
    recorder = Recorder({17: spoilt.begin, step: lambda: interrupt.note(15, None)})
    with pytest.raises(InterruptedRun):
        run(wishes(corpora, **LONG), tmp_path / "parts", recorder, interrupt)
    parts = run(wishes(corpora, **LONG), tmp_path / "parts")
    assert parts.recorder.standings[0].step == step + 1
    assert parts.recorder.standings[0].rate_halvings == halvings
    assert same_state(parts.checkpoint(30), whole.checkpoint(30))


@pytest.mark.usefixtures("short")
def test_a_rate_far_too_high_is_halved_twice_and_then_it_is_the_end(corpora: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    flags = wishes(corpora, **{**LONG, "max_steps": 1000}, lr=300.0, schedule="constant", warmup_steps=20)
    with pytest.raises(DivergenceError) as caught:
        run(flags, tmp_path / "run", recorder)
    assert caught.value.exit_code == 6
    assert [sentence.count("half the learning rate") for sentence in recorder.warned if "diverged" in sentence] == [
        1,
        1,
    ]
    assert {standing.rate_halvings for standing in recorder.standings} == {0, 1, 2}
    good, _ = steps.newest(tmp_path / "run")
    assert caught.value.details[-1] == (
        f"the last good checkpoint is {good}" if good else "there is no good checkpoint yet"
    )


def test_a_best_checkpoint_that_cannot_be_trusted_is_best_no_more(corpora: Path, tmp_path: Path) -> None:
    ended = run(wishes(corpora, metric="loss", max_steps=12, validate_every=4, save_every=4), tmp_path / "run")
    assert steps.recorded(ended.directory, "best") == 12
    steps.remove_after(ended.directory, 8)
    assert steps.steps(ended.directory) == [4, 8]
    assert steps.recorded(ended.directory, "best") is None
    again = run(wishes(corpora, metric="loss", max_steps=8, validate_every=4, save_every=4), tmp_path / "run")
    assert steps.recorded(again.directory, "best") == 8, "as the checkpoint says"


def test_a_new_rate_is_meant_as_it_is(corpora: Path, tmp_path: Path) -> None:
    flags = wishes(corpora, max_steps=4)
    state = stored(run(flags, tmp_path / "run").directory, 4)
    assert state.resume is not None
    before, halved = state.recipe, replace(fresh().progress, rate_halvings=2)
    for change, expected in (({}, 2), ({"lr": 1e-3}, 0), ({"max_steps": 9}, 2), ({"dropout": 0.3}, 2)):
        section = "model" if "dropout" in change else "training"
        changed = getattr(before, section).model_copy(update=change)
        assert (
            divergence.forget(halved, before, before.model_copy(update={section: changed})).rate_halvings == expected
        )


def test_a_loss_that_other_settings_move_is_not_held_against_a_run(corpora: Path, tmp_path: Path) -> None:
    run(wishes(corpora, max_steps=WINDOW), tmp_path / "run")
    same = run(wishes(corpora, max_steps=WINDOW + 1), tmp_path / "run")
    other = run(wishes(corpora, max_steps=WINDOW + 2, label_smoothing=0.9), tmp_path / "run")
    lowest = [
        resume.values["progress"]["trend"]["lowest"]
        for each, step in ((same, WINDOW + 1), (other, WINDOW + 2))
        if (resume := each.checkpoint(step).resume)
    ]
    assert lowest[0] is not None
    assert lowest[1] is None


def test_the_scale_of_fp16_is_logged(corpora: Path, tmp_path: Path) -> None:
    for precision, scaled in (("fp32", False), ("fp16", True)):
        ended = run(wishes(corpora, max_steps=2, precision=precision, validate_every=50), tmp_path / precision)
        (event,) = ended.events("steps")
        assert (event["loss_scale"] is not None) == scaled
        assert "gradient_norm" in event
