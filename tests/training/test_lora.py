"""Runs of which only updates of low rank learn: all that holds of a run holds of them, and the rest stays."""

from __future__ import annotations

import shutil
import signal
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtcli import recipe as recipes
from mtcli.checkpoint import average as averaging
from mtcli.checkpoint import steps, store
from mtcli.checkpoint.store import Checkpoint
from mtcli.data.batches import Place
from mtcli.errors import InterruptedRun, ResourceError, UsageError
from mtcli.layout import Batch
from mtcli.model.build import build
from mtcli.model.low_rank import adapt
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import TrainingSettings
from mtcli.training import train as training
from mtcli.training.fitting import fewest_parts
from mtcli.training.interrupt import Interrupt
from mtcli.training.loop import train_step
from mtcli.training.loss import batch_loss
from mtcli.training.optimizer import adamw
from mtcli.training.plan import Request, settle
from mtcli.training.precision import Precision
from mtcli.training.rollback import restore
from mtcli.training.state import Progress, TrainState
from tests.checkpoint.examples import identical
from tests.laws import models
from tests.training import test_loop, tiny
from tests.training.test_origin import flags
from tests.training.tiny import Recorder, Trained, run, same_state, same_weights

RANK = 2
NOISE: dict[str, Any] = {"ema": 0.8, "word_dropout": 0.2, "layer_dropout": 0.3}


def lora(corpora: Path, origin: Path, **changes: Any) -> dict[str, Any]:
    return flags(corpora, origin, **{"lora_rank": RANK, "max_steps": 8, "save_every": 4, **changes})


def adapted(dropout: float = 0.0) -> TrainState:
    """A state in float64 of which only updates learn."""
    state = test_loop.fresh(dropout=dropout)
    state.model.double()
    torch.manual_seed(6)
    adapt(state.model, RANK, 4.0)
    state.optimizer = adamw(state.model, test_loop.SETTINGS)
    return state


def tensors(checkpoint: Checkpoint, kind: str) -> dict[str, Tensor]:
    assert checkpoint.resume is not None
    kept = checkpoint.resume.tensors.items()
    return {name.removeprefix(f"{kind}."): x for name, x in kept if name.startswith(f"{kind}.")}


def test_at_first_it_is_the_model_that_it_began_with(whole: Trained, corpora: Path, tmp_path: Path) -> None:
    """With a rate of hardly more than 0 the first checkpoint has the very same weights, to the last bit."""
    first = run(lora(corpora, whole.directory, lr=1e-30, max_steps=1), tmp_path / "run")
    assert same_weights(first.checkpoint(1), store.load(steps.find(whole.directory)))
    parameters = sum(matrix.numel() for matrix in tensors(first.checkpoint(1), "optimizer").values())
    assert any(
        f" {(parameters - moments_of(first.checkpoint(1))) // 2:,} learn" in said for said in first.recorder.said
    )


def moments_of(checkpoint: Checkpoint) -> int:
    """How many parameters have moments."""
    return sum(name.endswith(".exp_avg") for name in tensors(checkpoint, "optimizer"))


@pytest.fixture(scope="module")
def ended(whole: Trained, corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Eight steps without a stop, with an average and noise."""
    return run(lora(corpora, whole.directory, **NOISE), tmp_path_factory.mktemp("lora") / "run")


def test_only_updates_learn_and_have_moments(ended: Trained, whole: Trained) -> None:
    checkpoint, origin = ended.checkpoint(8), store.load(steps.find(whole.directory)).weights
    parts = tensors(checkpoint, "unmerged")
    updates = {name for name in parts if name.endswith((".up", ".down"))}
    matrices = {name.rpartition(".")[0] + ".weight" for name in updates}
    assert parts.keys() == updates | matrices
    assert identical({name: parts[name] for name in matrices}, {name: origin[name] for name in matrices})
    rest = origin.keys() - matrices
    assert identical({n: checkpoint.weights[n] for n in rest}, {n: origin[n] for n in rest})
    assert all(not torch.equal(checkpoint.weights[name], origin[name]) for name in matrices)
    moments = tensors(checkpoint, "optimizer")
    assert moments_of(checkpoint) == len(updates)
    assert sum(x.numel() for name, x in moments.items() if name.endswith("_sq")) == sum(
        parts[name].numel() for name in updates
    )
    assert tensors(checkpoint, "raw").keys() == updates


def test_what_is_stored_is_the_merged_average(ended: Trained) -> None:
    """Each weight is its matrix plus the products of the averaged updates, which are not those that learn."""
    checkpoint = ended.checkpoint(8)
    parts, raw = tensors(checkpoint, "unmerged"), tensors(checkpoint, "raw")
    name = "decoder.blocks.0.feed_forward.narrow"
    product = parts[f"{name}.up"] @ parts[f"{name}.down"]
    expected = parts[f"{name}.weight"] + ended.checkpoint(8).recipe.training.lora_alpha / RANK * product
    torch.testing.assert_close(checkpoint.weights[f"{name}.weight"], expected)
    assert not torch.equal(raw[f"{name}.up"], parts[f"{name}.up"])


@pytest.mark.parametrize("step", [3, 6])
def test_stopped_and_taken_up_again_is_uninterrupted(
    step: int, ended: Trained, whole: Trained, corpora: Path, tmp_path: Path
) -> None:
    """Even where the model that it began with is gone."""
    origin = Path(shutil.copytree(whole.directory, tmp_path / "origin"))
    wanted, interrupt = lora(corpora, origin, **NOISE), Interrupt()
    recorder = Recorder({step: lambda: interrupt.note(signal.SIGTERM, None)})
    with pytest.raises(InterruptedRun):
        run(wanted, tmp_path / "run", recorder, interrupt)
    shutil.rmtree(origin)
    again = run(wanted, tmp_path / "run")
    assert same_state(again.checkpoint(8), ended.checkpoint(8))


def test_accumulated_batches_are_one_large_batch() -> None:
    one, parts = test_loop.group([*range(7)]), test_loop.group(*test_loop.SPLIT)
    states = adapted(), adapted()
    for _ in range(3):
        for state, group in zip(states, (one, parts), strict=True):
            train_step(state, group, test_loop.SETTINGS)
    torch.testing.assert_close(states[0].model.state_dict(), states[1].model.state_dict(), rtol=1e-6, atol=1e-6)
    assert not torch.equal(states[0].weights()["encoder.blocks.0.attention.merge.weight"], base_of(states[0]))


def base_of(state: TrainState) -> Tensor:
    return state.model.state_dict()["encoder.blocks.0.attention.merge.weight"]


def test_a_rollback_takes_the_updates_back() -> None:
    state = adapted(dropout=0.3)
    before = deepcopy(state.model.state_dict())
    for _ in range(2):
        train_step(state, test_loop.group(*test_loop.SPLIT), test_loop.SETTINGS)
    assert not identical(state.model.state_dict(), before)
    restore(state, None, lambda: adapted(dropout=0.3))
    assert identical(state.model.state_dict(), before)
    assert state.optimizer.state_dict()["state"] == {}


def test_a_trial_of_memory_makes_no_more_moments_than_a_run() -> None:
    state = adapted()
    fewest_parts(state, test_loop.group([0, 1])[0][0], test_loop.SETTINGS)
    learning = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
    assert {*map(id, state.optimizer.state)} == {*map(id, learning)}


def learned(model: Seq2Seq[Any], batch: Batch, lr: float, steps: int) -> float:
    """The loss of a token after so many steps, or fewer if it is hardly more than 0."""
    settings = TrainingSettings(lr=lr, warmup_steps=0, schedule="constant", label_smoothing=0.0)
    precision = Precision("fp32", torch.device("cpu"))
    state = TrainState(model, adamw(model, settings), precision, Progress(), "")
    for _ in range(steps):
        metrics = train_step(state, [(batch, Place())], settings)
        loss = metrics.loss.item() / metrics.target_tokens
        if loss < 0.02:
            break
    return loss


def test_it_learns_a_small_domain_by_heart() -> None:
    """One in which all is in another order than the model has learned; its own matrices are those from before."""
    torch.manual_seed(3)
    sources = models.sentences(1, [3, 4, 5, 6] * 4)
    size = {"encoder_layers": 1, "decoder_layers": 1, "model_dim": 32, "feed_forward_dim": 64, "dropout": 0.0}
    model = build(models.settings(**size), models.VOCABULARY, models.VOCABULARY, joint=True)
    learned(model, Batch.of(sources, [source[::-1] for source in sources]), 5e-3, 100)
    before = deepcopy(model.state_dict())
    adapt(model, 4, 16.0)
    domain = Batch.of(sources[:8], sources[:8])
    assert batch_loss(model, domain, 0.0).total.item() / domain.target_tokens > 1
    assert learned(model, domain, 1e-2, 150) < 0.02
    after = model.state_dict()
    assert identical({name: after[name] for name in before}, before)


def test_its_checkpoints_can_be_averaged_and_begun_with(ended: Trained, corpora: Path, tmp_path: Path) -> None:
    mean = averaging.average(averaging.last(ended.directory, 2))
    name = "encoder.blocks.0.attention.project.weight"
    both = torch.stack([ended.checkpoint(step).weights[name] for step in (4, 8)])
    torch.testing.assert_close(mean.weights[name], both.mean(0))
    plain = run(flags(corpora, ended.directory, lr=1e-30, max_steps=1), tmp_path / "plain")
    assert same_weights(plain.checkpoint(1), store.load(steps.find(ended.directory)))
    assert tensors(plain.checkpoint(1), "unmerged") == {}


@pytest.mark.parametrize(("wrong", "hint"), [({"lora_rank": 4}, "--init-from"), ({"lora_alpha": 8.0}, "--lora-rank")])
def test_what_would_adapt_nothing_is_refused(wrong: dict[str, Any], hint: str, corpora: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        settle(Request({}, tiny.wishes(corpora, **wrong)), tmp_path, Recorder())
    assert hint in "\n".join([caught.value.message, *caught.value.details])


@pytest.mark.parametrize("changes", [{"lora_rank": 4}, {"lora_rank": 0}, {"lora_alpha": 1.0}])
def test_it_stays_what_it_is(changes: dict[str, Any], ended: Trained, whole: Trained, corpora: Path) -> None:
    with pytest.raises(UsageError, match="other settings"):
        settle(Request({}, {**lora(corpora, whole.directory, **NOISE), **changes}), ended.directory, Recorder())
    assert recipes.load(ended.directory / "recipe.toml").training.lora_rank == RANK


def test_the_room_for_its_checkpoints_is_asked_for(ended: Trained, whole: Trained, corpora: Path) -> None:
    """As much as the tensors of the last checkpoint take, those of random numbers and of counts left out."""
    checkpoint = ended.checkpoint(8)
    assert checkpoint.resume is not None
    plain = {weight.data_ptr(): weight for weight in checkpoint.weights.values()}
    others = [x for name, x in checkpoint.resume.tensors.items() if name != "random.cpu" and x.dim()]
    one = sum(4 * x.numel() for x in [*plain.values(), *others])
    asked: list[str] = []

    class Full:
        free = 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.shutil, "disk_usage", lambda path: Full())
        patch.setattr(training, "ResourceError", lambda *words: asked.append(words[0]) or ResourceError(*words))
        patch.setattr(training.steps, "steps", lambda run: [])
        wanted = lora(corpora, whole.directory, **NOISE, keep=998)
        with pytest.raises(ResourceError):
            run(wanted, ended.directory.parent / "full")
    assert f"may need {1000 * one / 1e9:.1f} GB" in asked[0]
