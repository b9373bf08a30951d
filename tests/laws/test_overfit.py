"""Every architecture learns thirty-two reversed rows by heart, and decodes all of them exactly."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

from mtcli import catalog
from mtcli.data.probes import SYMBOLS, Probe, Row
from mtcli.decoding.request import Request
from mtcli.decoding.sampling import greedy
from mtcli.layout import EOS, Batch
from mtcli.model.build import build
from mtcli.settings import DecodingSettings, ModelSettings, TrainingSettings
from mtcli.training.loss import batch_loss
from mtcli.training.optimizer import adamw
from mtcli.training.schedule import learning_rate
from tests.laws import models

VOCABULARY = EOS + 1 + SYMBOLS


def variants() -> list[ModelSettings]:
    """Each name of the catalogue in each place where it can stand, the others being those of the plain model."""
    return [each for each in dict.fromkeys([*transformers(), *recurrents()]) if models.buildable(each)]


def transformers() -> list[ModelSettings]:
    size = {"model_dim": 32, "feed_forward_dim": 64, "heads": 4, "dropout": 0.0}
    parts = (part for part in models.PARTS if part is not models.RECURRENT)
    each = [
        models.settings(**size, **{place: name}) for part in parts for place, names in part.items() for name in names
    ]
    # Reversal needs positions: a Transformer without them cannot learn it.
    return [settings for settings in each if settings.positions != "none"]


def recurrents() -> list[ModelSettings]:
    size = {"encoder_layers": 1, "decoder_layers": 1, "model_dim": 64, "window": 10, "dropout": 0.0}
    plain = {"architecture": "recurrent", "cross_attention": "luong-general", **size}
    return [models.settings(**plain | {place: name}) for place, names in models.RECURRENT.items() for name in names]


def test_every_name_is_learnt_with() -> None:
    used = {(place, getattr(each, place)) for each in variants() for place in models.NAMED}
    named = {(place, name) for part in models.PARTS for place, names in part.items() for name in names}
    not_to_others = {("cross_attention", name) for name in ("sparse", "block-local", "longformer")}
    assert named - used == {("positions", "none"), ("decoder_attention", "linformer"), *not_to_others}


@pytest.mark.parametrize("settings", variants(), ids=models.name)
def test_overfit_to_exactness(settings: ModelSettings) -> None:
    learnt(settings, adamw)


@pytest.mark.parametrize("name", catalog.OPTIMIZER)
@pytest.mark.parametrize("settings", [transformers()[0], recurrents()[0]], ids=models.name)
def test_every_optimizer_overfits_to_exactness(settings: ModelSettings, name: str) -> None:
    learnt(settings, catalog.load("optimizer", name))


def learnt(settings: ModelSettings, chosen: Callable[[Any, TrainingSettings], Optimizer]) -> None:
    """Learn by heart, and assert that it was."""
    torch.manual_seed(1)
    sources, targets = zip(*islice(Probe("reverse", 3, 8).pairs(seed=1), 32), strict=True)
    expected = [ids(target) for target in targets]
    batch = Batch.of([ids(source) for source in sources], expected)
    model = build(settings, VOCABULARY, VOCABULARY, joint=True)
    training = TrainingSettings(lr=5e-3, warmup_steps=40)
    optimizer = chosen(model, training)
    for step in range(1, 401):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, training)
        loss = batch_loss(model, batch, 0.0)
        (loss.total / batch.target_tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.total.item() / batch.target_tokens < 0.01:
            break
    model.eval()
    with torch.inference_mode():
        memory = model.encode(batch.source, batch.source_rows)
        found = greedy(model, memory, [Request(20)] * 32, DecodingSettings(decoding="greedy"))
    assert [list(hypotheses[0].tokens) for hypotheses in found] == expected


def ids(row: Row) -> list[int]:
    """The tokens of symbols: a is the first after the special ones."""
    return [EOS + 1 + ord(symbol) - ord("a") for symbol in row]
