"""What must be true of every model in the catalogue, whatever it is made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtcli.data.encoded import Encoded
from mtcli.data.packing import Packing
from mtcli.layout import Batch
from mtcli.model.build import unpackable
from mtcli.settings import ModelSettings, TrainingSettings
from mtcli.training.loss import training_loss
from tests.laws import models

ALL = pytest.mark.parametrize("settings", models.parameters())
TIGHT = {"rtol": 0, "atol": 1e-10}


def changed(batch: Batch, place: int) -> Batch:
    """The batch with another token at one place of every target."""
    target_in = batch.target_in.clone()
    target_in[:, place] = (target_in[:, place] - 4 + 1) % (models.VOCABULARY - 4) + 4
    return Batch(batch.source, batch.source_rows, target_in, batch.target_out, batch.target_rows)


@ALL
@torch.no_grad()
def test_no_target_token_sees_a_later_one(settings: ModelSettings) -> None:
    model, batch = models.model(settings), models.batch(1, [4, 4], [4, 4])
    before = model(batch)
    for place in range(1, batch.target_in.shape[1]):
        after = model(changed(batch, place))
        assert torch.equal(before[:, :place], after[:, :place])
        assert not torch.allclose(before[:, place], after[:, place])


@ALL
@torch.no_grad()
def test_each_target_token_sees_every_source_token(settings: ModelSettings) -> None:
    model = models.model(settings)
    source, target = models.sentences(1, [4])[0], models.sentences(2, [3])[0]
    before = model(Batch.of([source], [target]))
    for place in range(len(source)):
        other = [*source]
        other[place] = 4 + (source[place] - 3) % (models.VOCABULARY - 4)
        after = model(Batch.of([other], [target]))
        assert (before - after).abs().amax(-1).min() > 1e-9


@ALL
@torch.no_grad()
def test_padding_and_batch_mates_change_nothing(settings: ModelSettings) -> None:
    model = models.model(settings)
    sources, targets = models.sentences(3, [2, 8, 0]), models.sentences(4, [6, 0, 3])
    together = model(Batch.of(sources, targets))
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        alone = model(Batch.of([source], [target]))[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, **TIGHT)


@ALL
@pytest.mark.parametrize("width", [1, 3])
@torch.no_grad()
def test_steps_equal_forward(settings: ModelSettings, width: int) -> None:
    """Also when rows are exchanged within their sentences, and a sentence leaves."""
    model = models.model(settings)
    sources, lengths = models.sentences(5, [3, 6, 1]), [6] * 3 * width
    targets = models.sentences(6, lengths)
    whole = Batch.of([source for source in sources for _ in range(width)], targets)
    expected = model(whole)
    memory = model.encode(*whole_sources(sources))
    state, rows = model.start(memory, width), torch.arange(3 * width)
    for place in range(7):
        if place == 3:  # turn the rows of each sentence round
            order = torch.arange(3 * width).view(3, width).flip(1).flatten()
            state, rows = model.select(state, order), rows[order]
            # A row that continues another one has that one's past: from here on, read that one's future too.
        if place == 5:  # the middle sentence is finished
            stay = torch.cat((torch.arange(width), torch.arange(2 * width, 3 * width)))
            state, rows = model.select(state, stay), rows[stay]
        logits, state = model.step(whole.target_in[rows, place], state)
        torch.testing.assert_close(logits, expected[rows, place], **TIGHT)


def whole_sources(sources: list[list[int]]) -> tuple[torch.Tensor, object]:
    batch = Batch.of(sources, sources)
    return batch.source, batch.source_rows


@ALL
def test_every_parameter_learns(settings: ModelSettings) -> None:
    model, batch = models.model(settings), models.batch(7, [5, 3], [4, 6])
    model(batch).logsumexp(-1).sum().backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not unused


@ALL
def test_the_gradient_is_the_derivative(settings: ModelSettings) -> None:
    """Along a random direction, compared with a central difference in float64."""
    model, batch = models.model(settings), models.batch(8, [4, 2], [3, 5])
    parameters = list(model.parameters())
    directions = [torch.randn_like(parameter) for parameter in parameters]
    model(batch).square().mean().backward()
    analytic = sum((p.grad * d).sum() for p, d in zip(parameters, directions, strict=True) if p.grad is not None)
    ends = []
    with torch.no_grad():
        for shift in (1e-7, -2e-7):
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(direction, alpha=shift)
            ends.append(model(batch).square().mean())
    torch.testing.assert_close(analytic, (ends[0] - ends[1]) / 2e-7, rtol=1e-4, atol=1e-6)


PACKABLE = [each for each in models.parameters() if not unpackable(each.values[0])]


def test_packing_is_tried_on_every_encoding_that_allows_it() -> None:
    assert {each.values[0].positions for each in PACKABLE} == {"none", "sinusoidal", "learned", "rope"}


@pytest.mark.parametrize("settings", PACKABLE)
@pytest.mark.parametrize("kit", [{"r_drop": 2.0}, {"label_smoothing": 0.0}], ids=str)
def test_packed_rows_are_padded_rows(settings: ModelSettings, kit: dict[str, float]) -> None:
    """The loss and the gradients of sentences in one row, with padding at its end, are those of a row for each."""
    sources, targets = models.sentences(7, [3, 8, 1, 5]), models.sentences(8, [6, 2, 4, 1])
    corpus, training = Encoded.of(sources, targets), TrainingSettings(**kit)
    packed = Packing.of(corpus, 64, 12).assemble(corpus, np.arange(4))
    found = []
    for batch in (Batch.of(sources, targets), packed):
        model = models.model(settings)
        loss = training_loss(model, batch, training)
        loss.total.backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        found.append((loss.total.detach(), loss.cross_entropy, gradients))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)
