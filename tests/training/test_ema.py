"""The average of the weights: what it is, who sees it, and that a run with one goes on like any other."""

from __future__ import annotations

import signal
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtcli.checkpoint import average as averaging
from mtcli.checkpoint import store
from mtcli.data.batches import Place
from mtcli.device import PrecisionName
from mtcli.errors import InterruptedRun, ResourceError, UsageError
from mtcli.model.build import build
from mtcli.settings import ModelSettings, TrainingSettings
from mtcli.training import train as training
from mtcli.training.ema import Average
from mtcli.training.interrupt import Interrupt
from mtcli.training.loop import Group, train_step
from mtcli.training.optimizer import adamw
from mtcli.training.precision import Precision
from mtcli.training.state import Progress, TrainState
from mtcli.training.validate import Validator
from tests.checkpoint.examples import identical
from tests.laws import models
from tests.training.tiny import Recorder, Trained, run, same_state, same_weights, wishes

SETTINGS = TrainingSettings(lr=1e-2, warmup_steps=0, schedule="constant", label_smoothing=0.0)
DECAY = 0.5


def fresh(settings: ModelSettings, decay: float = DECAY, precision: PrecisionName = "fp32") -> TrainState:
    torch.manual_seed(5)
    model = build(settings, models.VOCABULARY, models.VOCABULARY, joint=True)
    optimizer = adamw(model, SETTINGS)
    average = Average(model, decay) if decay else None
    return TrainState(model, optimizer, Precision(precision, torch.device("cpu")), Progress(), "", average=average)


def group(seed: int) -> Group:
    return [(models.batch(seed, [3, 1], [2, 4]), Place(0, seed))]


def raw(state: TrainState) -> dict[str, Tensor]:
    """A copy of the weights that learn."""
    return {name: weight.detach().clone() for name, weight in state.model.named_parameters()}


@pytest.mark.parametrize("tied", ["three-way", "none"])
@pytest.mark.parametrize("decay", [0.05, 0.5, 0.99])
def test_it_is_the_weighted_sum_of_all_weights_there_were(tied: str, decay: float) -> None:
    """The recursion written out: each update's weights count (1 - d_t) times the product of all later d."""
    state = fresh(models.settings(tied_embeddings=tied), decay)
    history = [raw(state)]
    for seed in range(1, 13):
        train_step(state, group(seed), SETTINGS)
        history.append(raw(state))
    decays = [min(decay, (1 + t) / (10 + t)) for t in range(1, 13)]
    found = state.weights()
    for name in history[0]:
        expected = torch.zeros_like(history[0][name], dtype=torch.float64)
        for t, weights in enumerate(history):
            share = 1 - decays[t - 1] if t else 1.0
            for later in decays[t:]:
                share *= later
            expected += share * weights[name].double()
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-5, atol=1e-6)
        assert found[name].dtype == torch.float32
    assert (found["output.weight"].data_ptr() == found["source.table.weight"].data_ptr()) == (tied != "none")


def test_what_learns_does_not_notice() -> None:
    """The same moments, weights and random numbers as without an average, whoever looks at that in between."""
    settings = models.settings(dropout=0.3, encoder_attention="performer", redraw_every=2)
    one, other = fresh(settings), fresh(settings, decay=0.0)
    for seed in range(1, 5):
        for state in (one, other):
            torch.manual_seed(seed)
            train_step(state, group(seed), SETTINGS)
            state.judged.eval()(group(9)[0][0])
    assert identical(raw(one), raw(other))
    assert all(p.grad is None for p in one.model.parameters())
    mine, theirs = one.resume(), other.resume()
    assert identical({name: mine.tensors[name] for name in theirs.tensors}, theirs.tensors)


def test_features_drawn_at_random_are_not_averaged() -> None:
    state = fresh(models.settings(encoder_attention="performer", redraw_every=2), decay=0.9)
    for seed in range(1, 6):
        train_step(state, group(seed), SETTINGS)
    drawn = {name: value for name, value in state.model.state_dict().items() if ".drawn." in name}
    assert drawn
    weights = state.weights()
    assert identical({name: weights[name] for name in drawn}, drawn)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_update_that_is_skipped_moves_nothing(precision: PrecisionName) -> None:
    state = fresh(models.settings(), precision=precision)
    state.precision.restore({**state.precision.state(), "scale": 1.0} if precision == "fp16" else {})
    train_step(state, group(1), SETTINGS)
    before, count = deepcopy(state.weights()), state.resume().values["averaged"]
    assert count == 1
    poison = next(state.model.parameters()).register_hook(lambda grad: grad * torch.nan)  # type: ignore[no-untyped-call]
    train_step(state, group(2), SETTINGS)
    assert identical(state.weights(), before)
    assert state.resume().values["averaged"] == count
    poison.remove()
    train_step(state, group(2), SETTINGS)
    assert not identical(state.weights(), before)


FLAGS: dict[str, Any] = {
    "ema": 0.9,
    **{"encoder_attention": "performer", "features": 8, "redraw_every": 3},
    **{"word_dropout": 0.2, "layer_dropout": 0.3},
}
"""An average, beside all that draws at random."""


@pytest.fixture(scope="module")
def averaged(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Twenty steps without a stop."""
    return run(wishes(corpora, **FLAGS), tmp_path_factory.mktemp("averaged") / "run")


@pytest.mark.parametrize("step", [7, 10])
def test_stopped_and_taken_up_again_is_uninterrupted(
    step: int, averaged: Trained, corpora: Path, tmp_path: Path
) -> None:
    interrupt = Interrupt()
    recorder = Recorder({step: lambda: interrupt.note(signal.SIGTERM, None)})
    with pytest.raises(InterruptedRun):
        run(wishes(corpora, **FLAGS), tmp_path / "run", recorder, interrupt)
    again = run(wishes(corpora, **FLAGS), tmp_path / "run")
    assert same_state(again.checkpoint(20), averaged.checkpoint(20))


def test_the_average_is_what_is_judged_and_stored(averaged: Trained, corpora: Path, tmp_path: Path) -> None:
    """What learns is in the other file; it is what a run without an average stores, and is judged differently."""
    other = run(wishes(corpora, **{**FLAGS, "ema": 0.0}), tmp_path / "run")
    for step in (5, 20):
        resume = averaged.checkpoint(step).resume
        assert resume is not None
        learner = {name.removeprefix("raw."): x for name, x in resume.tensors.items() if name.startswith("raw.")}
        plain = other.checkpoint(step).weights
        assert learner.keys() <= plain.keys()
        assert identical(learner, {name: plain[name] for name in learner})
        assert not same_weights(averaged.checkpoint(step), other.checkpoint(step))
    losses = [each.recorder.validations[-1][0].loss for each in (averaged, other)]
    assert losses[0] != losses[1]


def test_the_loss_is_that_of_the_stored_weights(averaged: Trained, corpora: Path, tmp_path: Path) -> None:
    """A run that begins with them, and learns nothing, is judged alike."""
    seen: list[float] = []
    judge = Validator.loss

    def watched(self: Validator, model: Any, *others: Any) -> float:
        model.load_state_dict(averaged.checkpoint(20).weights)
        seen.append(judge(self, model, *others))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validator, "loss", watched)
        run(wishes(corpora, **{**FLAGS, "ema": 0.0}, max_steps=1), tmp_path / "run")
    assert seen == [averaged.recorder.validations[-1][0].loss]


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.9), (0.9, 0.0), (0.9, 0.8)])
def test_a_run_has_one_from_its_start_or_never(before: float, after: float, corpora: Path, tmp_path: Path) -> None:
    run(wishes(corpora, ema=before, max_steps=1), tmp_path / "run")
    with pytest.raises(UsageError, match="other settings") as caught:
        run(wishes(corpora, ema=after, max_steps=2), tmp_path / "run")
    assert any(detail == f"--ema: {before} there, {after} now" for detail in caught.value.details)


def test_its_checkpoints_can_be_averaged(averaged: Trained, tmp_path: Path) -> None:
    paths = averaging.last(averaged.directory, 3)
    mean = averaging.average(paths)
    parts = [store.load(path).weights["output.weight"] for path in paths]
    torch.testing.assert_close(mean.weights["output.weight"], torch.stack(parts).mean(0))


def test_the_room_for_its_checkpoints_is_asked_for(corpora: Path, tmp_path: Path) -> None:
    """With as much free as a run without an average needs, one with it is refused before it begins."""
    flags, checkpoints = wishes(corpora, max_steps=1, keep=3), 3 + 2
    free = 10**18

    class Usage:
        @property
        def free(self) -> int:
            return free

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.shutil, "disk_usage", lambda path: Usage())
        plain = run(flags, tmp_path / "plain").checkpoint(1).weights
        parameters = sum({x.data_ptr(): x.numel() for x in plain.values()}.values())
        free = 3 * 4 * parameters * checkpoints
        run(flags, tmp_path / "enough")
        with pytest.raises(ResourceError, match="may need"):
            run({**flags, "ema": 0.9}, tmp_path / "more")
        free = 4 * 4 * parameters * checkpoints
        run({**flags, "ema": 0.9}, tmp_path / "room")
