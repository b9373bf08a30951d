"""Every model of the catalogue goes on from what a checkpoint stores as if it had never stopped, bit by bit."""

from __future__ import annotations

import pytest
import torch

from mtcli.checkpoint.store import Resume
from mtcli.checkpoint.tensors import pack, unpack
from mtcli.data.batches import Place
from mtcli.model.build import build
from mtcli.settings import ModelSettings, TrainingSettings
from mtcli.training.loop import train_step
from mtcli.training.optimizer import adamw
from mtcli.training.precision import Precision
from mtcli.training.state import Progress, TrainState
from tests.laws import models

TRAINING = TrainingSettings(lr=1e-2, warmup_steps=0, schedule="constant")


def fresh(settings: ModelSettings, seed: int) -> TrainState:
    torch.manual_seed(seed)
    model = build(settings, models.VOCABULARY, models.VOCABULARY, joint=True)
    return TrainState(model, adamw(model, TRAINING), Precision("fp32", torch.device("cpu")), Progress(), "")


def learn(state: TrainState, seed: int) -> None:
    train_step(state, [(models.batch(seed, [3, 1], [2, 4]), Place(0, seed))], TRAINING)


@pytest.mark.parametrize("settings", models.parameters())
def test_stored_and_taken_up_again_is_uninterrupted(settings: ModelSettings) -> None:
    skipping = 0.3 if settings.architecture == "transformer" else 0.0
    settings = settings.model_copy(update={"dropout": 0.2, "word_dropout": 0.2, "layer_dropout": skipping})
    state = fresh(settings, seed=1)
    learn(state, 1)
    resume = state.resume()
    weights, tensors = pack(state.weights(), {}), pack(resume.tensors, resume.values)
    learn(state, 2)
    other = fresh(settings, seed=2)
    other.restore(unpack(weights)[0], Resume(*unpack(tensors)))
    learn(other, 2)
    expected = state.weights()
    assert all(torch.equal(weight, expected[name]) for name, weight in other.weights().items())
