"""Updates of low rank, over the catalogue: nothing at first, a sum of products later, and the same when merged."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtcli.model.attention.multihead import MultiHeadAttention
from mtcli.model.build import build
from mtcli.model.feed_forward import SwigluFeedForward
from mtcli.model.low_rank import LowRank, adapt, merged, unmerged, updated
from mtcli.model.recurrent_decoder import Decoder
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import ModelSettings
from tests.checkpoint.examples import identical
from tests.laws import models

RANK, ALPHA = 3, 6.0


def adapted(plain: Seq2Seq[Any], learned: bool = True) -> Seq2Seq[Any]:
    """A copy with updates; with those that training could have made, if it has `learned`."""
    model = deepcopy(plain)
    torch.manual_seed(7)
    adapt(model, RANK, ALPHA)
    if learned:
        for _, matrix in updated(model):
            nn.init.normal_(matrix.up, std=0.3)
    return model


def by_hand(plain: Seq2Seq[Any], model: Seq2Seq[Any]) -> Iterator[tuple[str, Tensor]]:
    """Each weight with an update, plus alpha / rank times a sum of outer products; fused matrices have one each."""
    weights, parts = plain.state_dict(), unmerged(model)
    for name, heights in of_matrices(plain):
        weight, down, up = weights[f"{name}.weight"].clone(), parts[f"{name}.down"], parts[f"{name}.up"]
        assert down.shape == (RANK * len(heights), weight.shape[1])
        assert sum(heights) == len(weight)
        for part, height in enumerate(heights):
            rows = slice(sum(heights[:part]), sum(heights[:part]) + height)
            for k in range(RANK):
                weight[rows] += ALPHA / RANK * torch.outer(up[rows, k], down[part * RANK + k])
        yield f"{name}.weight", weight


def of_matrices(plain: Seq2Seq[Any]) -> Iterator[tuple[str, list[int]]]:
    """The matrices that should have updates, and the outputs of each that lies in them."""
    fused = {f"{name}.project": m.sizes for name, m in plain.named_modules() if isinstance(m, MultiHeadAttention)}
    for name, module in plain.named_modules():
        if isinstance(module, SwigluFeedForward):
            fused[f"{name}.widen"] = [module.widen.out_features // 2] * 2
        if isinstance(module, Decoder):  # a first state for each layer, an LSTM's two
            fused[f"{name}.bridge"] = [module.bridge.in_features] * sum(module.parts)
    for name, module in plain.named_modules():
        if isinstance(module, nn.Linear) and name != "output":
            yield name, fused.get(name, [module.out_features])


def predictions(model: Seq2Seq[Any]) -> Tensor:
    """What a model makes of sentences, whole and token by token."""
    batch = models.batch(3, [4, 2], [2, 1])
    state, logits = model.start(model.encode(batch.source, batch.source_rows)), []
    for tokens in batch.target_in.unbind(1):
        step, state = model.step(tokens, state)
        logits.append(step)
    return torch.cat([model(batch), torch.stack(logits, dim=1)])


def plain_of(settings: ModelSettings, weights: dict[str, Tensor]) -> Seq2Seq[Any]:
    model = build(settings, models.VOCABULARY, models.VOCABULARY, joint=True).to(weights["output.weight"].dtype)
    model.load_state_dict(weights)
    return model.eval()


@pytest.mark.parametrize("settings", [each for each in models.parameters() if not each.marks])
@torch.no_grad()
def test_every_model_begins_as_it_was_and_computes_the_same_when_merged(settings: ModelSettings) -> None:
    # Frozen too: `matmul` chooses between kernels, whose last bits differ, by whether a parameter may get a gradient.
    plain = models.model(settings).requires_grad_(False)
    before, expected = deepcopy(plain.state_dict()), predictions(plain)
    fresh, model = adapted(plain, learned=False), adapted(plain)
    assert torch.equal(predictions(fresh), expected)
    assert identical(merged(fresh), before)
    found, weights = predictions(model), merged(model)
    assert not torch.allclose(found, expected)
    torch.testing.assert_close(predictions(plain_of(settings, weights)), found, rtol=1e-9, atol=1e-9)
    changed = dict(by_hand(plain, model))
    assert {f"{name}.weight" for name, _ in updated(model)} == changed.keys()
    torch.testing.assert_close({name: weights[name] for name in changed}, changed)
    assert identical({name: x for name, x in weights.items() if name not in changed}, without(before, changed))
    assert identical(plain.state_dict(), before)


def without(weights: dict[str, Tensor], names: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight for name, weight in weights.items() if name not in names}


def test_in_single_precision_merging_changes_a_millionth() -> None:
    settings = models.settings(activation="swiglu", key_value_heads=1)
    model = adapted(models.model(settings)).float()
    with torch.no_grad():
        torch.testing.assert_close(
            predictions(plain_of(settings, merged(model))), predictions(model), rtol=1e-6, atol=1e-5
        )


@pytest.mark.parametrize(
    "chosen",
    [
        {"tied_embeddings": "none", "layer_dropout": 0.5},
        {"architecture": "recurrent", "cross_attention": "luong-general", "alignment": "local-p"},
    ],
)
def test_nothing_else_has_a_gradient(chosen: dict[str, Any]) -> None:
    model = adapted(models.model(models.settings(**chosen))).train()
    model(models.batch(3, [5, 2], [4, 4])).sum().backward()
    learning = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learning == {f"{name}.{part}" for name, _ in updated(model) for part in ("down", "up")}
    assert not {name for name, p in model.named_parameters() if p.requires_grad} - learning


@pytest.mark.parametrize("tied", ["three-way", "two-way", "none"])
def test_what_is_stored_rebuilds_it(tied: str) -> None:
    """And tied embeddings stay one matrix."""
    settings = models.settings(tied_embeddings=tied, encoder_attention="performer")
    model = adapted(models.model(settings))
    state = {**merged(model), **unmerged(model)}
    assert identical(state, model.state_dict())
    one = {state[f"{name}.weight"].data_ptr() for name in ("source.table", "target.table", "output")}
    assert len(one) == {"three-way": 1, "two-way": 2, "none": 3}[tied]
    assert unmerged(models.model(settings)) == {}


def test_updates_have_the_device_and_type_of_their_matrix() -> None:
    of = nn.Linear(6, 4, bias=False, dtype=torch.float64)
    update = LowRank(of, 2, 1.0)
    assert update.weight is of.weight
    assert {parameter.dtype for parameter in update.parameters()} == {torch.float64}
    assert update(torch.ones(2, 6, dtype=torch.float64)).shape == (2, 4)
