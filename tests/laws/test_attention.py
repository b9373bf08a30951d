"""Every model of the catalogue with weights says how it looks at the source, and its contexts are made of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mtcli.layout import Batch
from mtcli.model.attention.mechanism import Mechanism
from mtcli.model.attention.recurrent import Look
from mtcli.model.build import supports_attention
from mtcli.model.recurrent import Recurrent
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import ModelSettings
from tests.laws import models

WITHOUT = {"linformer", "none"}
"""The one mixes keys before queries meet them, the other has one vector for all tokens."""

SUPPORTED = pytest.mark.parametrize(
    "settings", [each for each in models.parameters() if each.values[0].cross_attention not in WITHOUT]
)
TIGHT = {"rtol": 0, "atol": 1e-10}


def test_a_model_declares_whether_it_has_weights() -> None:
    for settings in models.combinations():
        if len(models.changes(settings)) <= 2:
            supported = models.model(settings).supports_attention
            assert supported == (settings.cross_attention not in WITHOUT), models.name(settings)
            assert supported == supports_attention(settings)


@SUPPORTED
@torch.no_grad()
def test_weights_sum_to_one_and_depend_on_no_padding_and_no_batch_mate(settings: ModelSettings) -> None:
    model = models.model(settings)
    sources, targets = models.sentences(3, [1, 4, 9, 0]), models.sentences(4, [7, 2, 0, 3])
    batch = Batch.of(sources, targets)
    together = model.attention(batch)
    assert (together >= 0).all()
    assert (together.transpose(1, 2)[~batch.source_rows.valid] == 0).all()
    torch.testing.assert_close(together.sum(-1), torch.ones(together.shape[:2], dtype=torch.float64), **TIGHT)
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        alone = model.attention(Batch.of([source], [target]))[0]
        torch.testing.assert_close(together[row, : len(target) + 1, : len(source) + 1], alone, **TIGHT)


@SUPPORTED
@torch.no_grad()
def test_weights_times_values_are_what_the_model_mixes(settings: ModelSettings) -> None:
    model, batch = models.model(settings), models.batch(1, [5, 2], [3, 6])
    weights = mixtures(model, batch)
    shares = weights / weights.sum(-1, keepdim=True)
    torch.testing.assert_close(model.attention(batch), shares, **TIGHT)
    torch.testing.assert_close(model.readout_and_attention(batch)[0], model.readout(batch), **TIGHT)


def mixtures(model: Seq2Seq[Any], batch: Batch) -> Tensor:
    """The mean weights of the forward pass, each layer's compared with what that layer mixes."""
    seen: list[Tensor] = []

    def heads(mechanism: Mechanism, given: tuple[Any, ...], mixed: Tensor) -> None:
        query, key, value, attend, _ = given
        weights = mechanism.weights(query, key, attend.keys)
        wide = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        torch.testing.assert_close(weights @ wide, mixed, **TIGHT)
        seen.append(weights.mean(1))

    def vectors(look: Look, given: tuple[Any, ...], context: Tensor) -> None:
        weights = look.weights(*given)
        torch.testing.assert_close(weights @ given[2].value, context, **TIGHT)
        seen.append(weights)

    recurrent = isinstance(model, Recurrent)
    hooks = (
        [model.decoder.look.register_forward_hook(vectors)]
        if recurrent
        else [block.cross_attention.mechanism.register_forward_hook(heads) for block in model.decoder.blocks]
    )
    model(batch)
    for hook in hooks:
        hook.remove()
    return torch.cat(seen, dim=1) if recurrent else torch.stack(seen).mean(0)
