"""Muon against its definition, one matrix at a time, and as the optimizer of a run."""

from __future__ import annotations

import signal
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtcli import recipe as recipes
from mtcli.device import PrecisionName
from mtcli.errors import InterruptedRun, UsageError
from mtcli.model.build import build
from mtcli.model.matrices import matrices
from mtcli.settings import ModelSettings, TrainingSettings
from mtcli.training.interrupt import Interrupt
from mtcli.training.loop import train_step
from mtcli.training.muon import muon, orthogonal
from mtcli.training.optimizer import adamw
from mtcli.training.precision import Precision
from mtcli.training.refusals import refuse_unmovable
from mtcli.training.state import Progress, TrainState
from tests.checkpoint.examples import identical
from tests.laws import models
from tests.training.test_loop import CPU, SPLIT, everything, group
from tests.training.tiny import Recorder, run, same_state, wishes

SETTINGS = TrainingSettings(lr=1e-2, warmup_steps=0, schedule="constant", clip=0, weight_decay=0.1)
KINDS = [
    {},
    {"activation": "swiglu", "key_value_heads": 1, "positions": "t5", "tied_embeddings": "none"},
    {"encoder_attention": "linformer", "positions": "learned"},
    {"architecture": "recurrent", "cross_attention": "bahdanau", "cell": "lstm"},
]
kinds = pytest.mark.parametrize("kind", [models.settings(**kind) for kind in KINDS], ids=models.name)


def fresh(kind: ModelSettings, precision: PrecisionName = "fp32") -> TrainState:
    torch.manual_seed(5)
    model = build(kind, models.VOCABULARY, models.VOCABULARY, joint=True)
    settings = SETTINGS.model_copy(update={"precision": precision})
    return TrainState(model, muon(model, settings), Precision(precision, CPU), Progress(), "")


def defined(matrix: Tensor) -> Tensor:
    """Five times `X <- a X + (b A + c A A) X`, `A = X X^T`, after a division by the norm (Jordan et al. 2024)."""
    x = matrix / matrix.norm()
    x = x.T if len(x) > x.shape[1] else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x if x.shape == matrix.shape else x.T


def moved(weight: Tensor, grads: list[Tensor]) -> Tensor:
    """A matrix after one step for each gradient: Nesterov's momentum, and Liu et al. 2025, eq. 4."""
    weight, momentum = weight.double(), torch.zeros_like(weight).double()
    for grad in grads:
        momentum = 0.95 * momentum + 0.05 * grad
        step = 0.2 * max(weight.shape) ** 0.5 * defined(0.05 * grad + 0.95 * momentum) + 0.1 * weight
        weight = weight - SETTINGS.lr * step
    return weight


def parts(weight: Tensor, rows: list[int]) -> list[Tensor]:
    return list(weight.detach().clone().split(rows))


@kinds
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.06)])
def test_two_steps_are_those_of_the_definition_matrix_by_matrix(
    kind: ModelSettings, precision: PrecisionName, tolerance: float
) -> None:
    """In bf16, five times over, each number is rounded to 1/256."""
    state = fresh(kind, precision)
    packed = list(matrices(state.model))
    before = [parts(*each) for each in packed]
    grads: list[list[list[Tensor]]] = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        for weight, rows in packed:
            # The later a part, the larger its gradient: one orthogonal matrix for all would be another.
            sizes = torch.arange(1, len(rows) + 1).repeat_interleave(torch.tensor(rows))
            weight.grad = torch.randn_like(weight) * sizes[:, None]
        grads.append([parts(weight.grad, rows) for weight, rows in packed if weight.grad is not None])
        state.optimizer.step()
    for place, (weight, rows) in enumerate(packed):
        for number, found in enumerate(parts(weight, rows)):
            expected = moved(before[place][number], [each[place][number] for each in grads])
            difference = (found - expected).norm() / (expected - before[place][number]).norm()
            assert difference < tolerance


@kinds
def test_all_else_moves_as_with_adamw(kind: ModelSettings) -> None:
    state = fresh(kind)
    twin = deepcopy(state.model)
    other = adamw(twin, SETTINGS)
    for model, optimizer in ((state.model, state.optimizer), (twin, other)):
        for seed in (1, 2):
            torch.manual_seed(seed)
            for parameter in model.parameters():
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
    inside = {weight for weight, _ in matrices(state.model)}
    theirs = dict(twin.named_parameters())
    same = {name: torch.equal(x, theirs[name]) for name, x in state.model.named_parameters() if x not in inside}
    assert same
    assert all(same.values())


@pytest.mark.parametrize("kind", models.parameters())
def test_matrices_are_found_whole_and_nothing_else(kind: ModelSettings) -> None:
    """A name tells what a parameter is for: the rule is written in another way than by classes."""
    model = build(kind, models.VOCABULARY, models.VOCABULARY, joint=True)
    found = dict(matrices(model))
    assert all(sum(rows) == len(weight) for weight, rows in found.items())
    others = {name for name, x in model.named_parameters() if x not in found and x.dim() > 1}
    allowed = ("table", "output", "reduce_", "of_keys", "of_values")
    assert all(any(word in name for word in allowed) for name in others), others
    assert {name for name, x in model.named_parameters() if x in found and "table" in name} == set()
    assert model.output.weight not in found


def test_matrices_without_a_gradient_stay() -> None:
    """As in blocks that `--layer-dropout` skips."""
    state = fresh(models.settings())
    before = deepcopy(dict(state.model.named_parameters()))
    (first, _), *_ = matrices(state.model)
    first.grad = torch.ones_like(first)
    state.optimizer.step()
    changed = {name for name, x in state.model.named_parameters() if not torch.equal(x, before[name])}
    assert changed == {name for name, x in state.model.named_parameters() if x is first}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_state_survives_storage(precision: PrecisionName) -> None:
    kind = models.settings(dropout=0.3)
    state, other = fresh(kind, precision), fresh(kind, precision)
    for _ in range(2):
        train_step(state, group(*SPLIT), SETTINGS)
    weights, resume = deepcopy(state.weights()), deepcopy(state.resume())
    train_step(state, group(*SPLIT), SETTINGS)
    other.restore(weights, resume)
    train_step(other, group(*SPLIT), SETTINGS)
    assert identical(everything(other), everything(state))


def test_an_orthogonal_matrix_has_singular_values_near_one() -> None:
    """What the definition's five steps are for; between 0.6 and 1.3, as far as they go (Jordan et al. 2024)."""
    torch.manual_seed(1)
    given = torch.randn(3, 8, 20) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None]
    u, _, v = torch.linalg.svd(given, full_matrices=False)
    found = orthogonal(given)
    values = torch.linalg.svdvals(found)
    assert ((values > 0.6) & (values < 1.3)).all()
    assert (u.mT @ found @ v.mT).allclose(
        torch.diag_embed(torch.diagonal(u.mT @ found @ v.mT, dim1=1, dim2=2)), atol=1e-4
    ), "directions stay"
    assert torch.equal(orthogonal(torch.zeros(1, 2, 3)), torch.zeros(1, 2, 3))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"engine": "graph"}, "muon takes its rate from the processor"),
        ({"lora_rank": 2, "init_from": "run"}, "--lora-rank"),
    ],
)
def test_muon_is_refused_where_it_would_not_work(changes: dict[str, Any], reason: str) -> None:
    recipe = recipes.resolve({}, {"optimizer": "muon"})
    refuse_unmovable(recipe)
    with pytest.raises(UsageError, match=reason):
        refuse_unmovable(recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)}))


def test_a_run_goes_on_bit_by_bit(corpora: Path, tmp_path: Path) -> None:
    flags = wishes(corpora, optimizer="muon", max_steps=8, save_every=4)
    whole = run(flags, tmp_path / "whole")
    interrupt = Interrupt()
    with pytest.raises(InterruptedRun):
        run(flags, tmp_path / "parts", Recorder({5: lambda: interrupt.note(signal.SIGTERM, None)}), interrupt)
    assert same_state(run(flags, tmp_path / "parts").checkpoint(8), whole.checkpoint(8))
    losses = [standing.loss for standing in whole.recorder.standings]
    assert losses[-1] < losses[0]
