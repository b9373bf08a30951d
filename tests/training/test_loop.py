"""One optimizer step: what it does to its parts, how it weighs tokens, and what it makes of gradients gone wrong."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from mtcli.data.batches import Place
from mtcli.device import PrecisionName
from mtcli.errors import DivergenceError
from mtcli.layout import Batch
from mtcli.model.build import build
from mtcli.settings import TrainingSettings
from mtcli.training.loop import Group, groups, train_step
from mtcli.training.loss import batch_loss
from mtcli.training.optimizer import adamw
from mtcli.training.precision import Precision
from mtcli.training.state import Progress, TrainState, Trend
from tests.checkpoint.examples import identical
from tests.laws import models

SETTINGS = TrainingSettings(lr=1e-2, warmup_steps=0, schedule="constant", clip=0)
LENGTHS = [1, 1, 9, 8, 2, 1, 7]
CPU = torch.device("cpu")


def fresh(
    precision: PrecisionName = "fp32", settings: TrainingSettings = SETTINGS, dropout: float = 0.0
) -> TrainState:
    torch.manual_seed(5)
    model = build(models.settings(dropout=dropout), models.VOCABULARY, models.VOCABULARY, joint=True)
    return TrainState(model, adamw(model, settings), Precision(precision, CPU), Progress(), "")


def group(*splits: list[int]) -> Group:
    """Batches of the pairs that each split names; their targets differ much in length."""
    sources, targets = models.sentences(1, LENGTHS), models.sentences(2, LENGTHS[::-1])
    batches = [Batch.of([sources[i] for i in split], [targets[i] for i in split]) for split in splits]
    return [(batch, Place(0, index + 1)) for index, batch in enumerate(batches)]


def everything(state: TrainState) -> dict[str, Tensor]:
    """Weights, and the moments of the optimizer."""
    moments = {name: x for name, x in state.resume().tensors.items() if name.startswith("optimizer")}
    return {name: x.clone() for name, x in (state.weights() | moments).items()}


def gradient(state: TrainState, parts: Group, settings: TrainingSettings = SETTINGS) -> list[Tensor]:
    """What the optimizer is given in a step."""
    seen: list[Tensor] = []
    step = state.optimizer.step

    def spied(*arguments: Any) -> Any:
        seen.extend(p.grad.clone() for p in state.model.parameters() if p.grad is not None)
        return step(*arguments)

    state.optimizer.step = spied  # type: ignore[assignment]
    train_step(state, parts, settings)
    return seen


SPLIT = ([0, 1], [2, 3, 4], [5], [6])


def exact() -> TrainState:
    """In float64: Adam divides by the gradient's size, so what should be 0, as for a key's bias, becomes noise."""
    state = fresh()
    state.model.double()
    return state


def test_accumulated_batches_are_one_large_batch() -> None:
    one, parts = group([*range(7)]), group(*SPLIT)
    torch.testing.assert_close(gradient(exact(), parts), gradient(exact(), one), rtol=1e-9, atol=1e-12)
    states = exact(), exact()
    for _ in range(3):
        metrics = [train_step(state, each, SETTINGS) for state, each in zip(states, (one, parts), strict=True)]
    assert metrics[0].target_tokens == metrics[1].target_tokens == sum(LENGTHS) + len(LENGTHS)
    assert metrics[0].loss.item() == pytest.approx(metrics[1].loss.item(), rel=1e-9)
    torch.testing.assert_close(states[0].weights(), states[1].weights(), rtol=1e-6, atol=1e-6)


def test_the_mean_of_means_would_be_another_gradient() -> None:
    """Else the test above could not fail."""
    state = fresh()
    for batch, _ in group(*SPLIT):
        loss = batch_loss(state.model, batch, SETTINGS.label_smoothing)
        (loss.total / batch.target_tokens / len(SPLIT)).backward()  # type: ignore[no-untyped-call]
    naive = torch.cat([p.grad.flatten() for p in state.model.parameters() if p.grad is not None])
    right = torch.cat([part.flatten() for part in gradient(fresh(), group([*range(7)]))])
    assert (naive - right).norm() > 0.05 * right.norm()


@pytest.mark.parametrize("clip", [0.0, 1e-3, 1e6])
def test_clipping_bounds_the_norm_and_keeps_the_direction(clip: float) -> None:
    settings = SETTINGS.model_copy(update={"clip": clip})
    free = torch.cat([part.flatten() for part in gradient(fresh(), group([*range(7)]))])
    clipped = torch.cat([part.flatten() for part in gradient(fresh(), group([*range(7)]), settings)])
    expected = min(1.0, clip / free.norm().item()) if clip else 1.0
    torch.testing.assert_close(clipped, free * expected, rtol=1e-3, atol=1e-9)


def test_a_step_moves_the_progress() -> None:
    state = fresh()
    metrics = train_step(state, group(*SPLIT), SETTINGS)
    tokens = sum(LENGTHS) + len(LENGTHS)
    trend = Trend(total=metrics.loss.item(), tokens=tokens)
    assert state.progress == Progress(step=1, place=Place(0, 4), tokens=2 * tokens, trend=trend)
    assert metrics.tokens == state.progress.tokens
    assert metrics.lr == SETTINGS.lr
    assert state.model.training


@pytest.mark.parametrize(("count", "size"), [(0, 3), (7, 3), (6, 3), (5, 1), (2, 9)])
def test_groups_lose_nothing(count: int, size: int) -> None:
    stream: Any = list(range(count))
    found: Any = list(groups(stream, size))
    assert [x for part in found for x in part] == stream
    assert [len(part) for part in found[:-1]] == [size] * max(0, len(found) - 1)


def poisoned(state: TrainState, value: float) -> Callable[[], None]:
    """Let every gradient be `value` somewhere, until the returned function is called."""
    parameter = next(iter(state.model.parameters()))

    def spoil(grad: Tensor) -> Tensor:
        grad = grad.clone()
        grad.view(-1)[0] = value
        return grad

    return parameter.register_hook(spoil).remove  # type: ignore[no-any-return, no-untyped-call]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_an_update_that_is_not_finite_is_skipped(precision: PrecisionName, value: float, clip: float) -> None:
    settings = SETTINGS.model_copy(update={"clip": clip})
    state = fresh(precision)
    state.precision.restore({**state.precision.state(), "scale": 1.0} if precision == "fp16" else {})
    train_step(state, group([0, 1, 2]), settings)
    before = everything(state)
    cure = poisoned(state, value)
    train_step(state, group([0, 1, 2]), settings)
    assert identical(everything(state), before)
    assert (state.progress.skipped, state.progress.skipped_in_a_row, state.progress.step) == (1, 1, 2)
    cure()
    train_step(state, group([0, 1, 2]), settings)
    assert not identical(everything(state), before)
    assert (state.progress.skipped, state.progress.skipped_in_a_row) == (1, 0)
    assert all(bool(x.isfinite().all()) for x in everything(state).values())


def test_ten_in_a_row_are_divergence() -> None:
    state = fresh()
    poisoned(state, float("nan"))
    for _ in range(9):
        train_step(state, group([0, 1]), SETTINGS)
    with pytest.raises(DivergenceError) as caught:
        train_step(state, group([0, 1]), SETTINGS)
    assert caught.value.exit_code == 6


def test_more_than_one_in_a_hundred_are_divergence() -> None:
    state = fresh()
    state.progress.step, state.progress.skipped = 2000, 19
    cure = poisoned(state, float("inf"))
    train_step(state, group([0, 1]), SETTINGS)
    cure()
    train_step(state, group([0, 1]), SETTINGS)
    poisoned(state, float("inf"))
    with pytest.raises(DivergenceError):
        train_step(state, group([0, 1]), SETTINGS)


def test_the_search_for_a_gradient_scale_is_no_divergence() -> None:
    """fp16 starts with a scale of 65,536 and halves it at each overflow; at scale 1 the fault is the run's."""
    state = fresh("fp16")
    cure = poisoned(state, float("inf"))
    for _ in range(16):
        train_step(state, group([0, 1]), SETTINGS)
    assert (state.progress.rescaled, state.progress.skipped) == (16, 0)
    assert state.precision.state()["scale"] == 1
    before = deepcopy(state.weights())
    for _ in range(9):
        train_step(state, group([0, 1]), SETTINGS)
    assert identical(state.weights(), before)
    with pytest.raises(DivergenceError):
        train_step(state, group([0, 1]), SETTINGS)
    cure()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_state_survives_storage(precision: PrecisionName) -> None:
    """The next step of a restored state is that of the state itself, dropout and gradient scale included."""
    settings = SETTINGS.model_copy(update={"clip": 0.5})
    state, other = fresh(precision, dropout=0.3), fresh(precision, dropout=0.3)
    for _ in range(2):
        train_step(state, group(*SPLIT), settings)
    weights, resume = deepcopy(state.weights()), deepcopy(state.resume())
    train_step(state, group(*SPLIT), settings)
    torch.rand(100)
    other.restore(weights, resume)
    train_step(other, group(*SPLIT), settings)
    assert identical(everything(other), everything(state))
    assert other.progress == state.progress
    assert other.precision.state() == state.precision.state()


def test_a_restored_optimizer_heeds_the_settings_of_now() -> None:
    state = fresh()
    train_step(state, group([0, 1]), SETTINGS)
    changed = SETTINGS.model_copy(update={"beta1": 0.5, "weight_decay": 0.1})
    other = fresh(settings=changed)
    other.restore(state.weights(), state.resume())
    assert [each["weight_decay"] for each in other.optimizer.param_groups] == [0.1, 0.0]
    assert all(each["betas"] == (0.5, SETTINGS.beta2) for each in other.optimizer.param_groups)


def test_matrices_decay_and_vectors_do_not() -> None:
    """Loshchilov & Hutter 2019: with gradients of 0, a step multiplies what decays by 1 - lr * decay."""
    settings = SETTINGS.model_copy(update={"weight_decay": 0.5})
    state = fresh(settings=settings)
    before = deepcopy(dict(state.model.named_parameters()))
    for parameter in state.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    state.optimizer.step()
    for name, parameter in state.model.named_parameters():
        factor = 1 - settings.lr * 0.5 if parameter.dim() > 1 else 1.0
        torch.testing.assert_close(parameter, before[name] * factor)
