"""Recurrent models: equal to the papers' equations, whole batches at once or step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mtcli.errors import UsageError
from mtcli.layout import Rows, pad
from mtcli.model.attention.alignment import LocalM, LocalP
from mtcli.model.build import build, refuse_impossible
from mtcli.model.cell import Cell, Gru, Lstm
from mtcli.model.recurrent import Recurrent, backwards
from mtcli.model.seq2seq import Memory
from mtcli.settings import ModelSettings
from tests.laws import models
from tests.model import naive_recurrent as naive

EVERY = [each for each in models.combinations() if each.architecture == "recurrent"]
ALL = pytest.mark.parametrize("settings", EVERY, ids=models.name)
TIGHT = {"rtol": 0, "atol": 1e-10}
SOURCES, TARGETS = models.sentences(1, [7, 0, 3, 12]), models.sentences(2, [5, 3, 9, 0])


def recurrent(**changes: Any) -> ModelSettings:
    return models.settings(**{"architecture": "recurrent", "cross_attention": "bahdanau", **changes})


def made(settings: ModelSettings) -> Recurrent:
    model = models.model(settings)
    assert isinstance(model, Recurrent)
    return model


def narrow(settings: ModelSettings) -> ModelSettings:
    """The settings with a window narrower than the sentences, where there is one."""
    return settings if settings.alignment == "global" else settings.model_copy(update={"window": 2})


@ALL
@torch.no_grad()
def test_a_padded_batch_equals_the_papers_equations(settings: ModelSettings) -> None:
    model = made(narrow(settings))
    vectors = model.readout(models.Batch.of(SOURCES, TARGETS))
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        expected = naive.readout(model, narrow(settings), source, target)
        torch.testing.assert_close(vectors[row, : len(expected)], expected, **TIGHT)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@torch.no_grad()
def test_the_encoder_equals_pytorchs_own_on_sentences_without_padding(cell: str) -> None:
    model = made(recurrent(cell=cell))
    kind = nn.GRU if cell == "gru" else nn.LSTM
    whole = kind(16, 8, num_layers=2, bidirectional=True, batch_first=True).double()
    for number, layer in enumerate(model.encoder.layers):
        for suffix, way in (("", layer.ahead), ("_reverse", layer.back)):
            for name, value in way.layer.named_parameters():
                getattr(whole, f"{name.removesuffix('_l0')}_l{number}{suffix}").copy_(value)
    source, rows = pad(SOURCES[:1] + SOURCES[2:])
    found = model.encode(source, rows).values
    for row, length in enumerate(rows.lengths.tolist()):
        alone = whole(model.source(source[row : row + 1, :length]))[0][0]
        torch.testing.assert_close(found[row, :length], alone, **TIGHT)


def test_backwards_turns_each_sentence_round_and_back() -> None:
    order = backwards(Rows(torch.tensor([4, 1, 3]), 5))
    assert order.tolist() == [[3, 2, 1, 0, 4], [0, 1, 2, 3, 4], [2, 1, 0, 3, 4]]
    assert torch.equal(order.gather(1, order), torch.arange(5).expand(3, 5))


@torch.no_grad()
def test_windows_see_what_they_should() -> None:
    """Beside the comparison with loops: weights are 0 outside, and sum to 1 (local-m) or less (local-p)."""
    rows = Rows(torch.tensor([9, 2]), 9)
    scores, query = torch.randn(2, 7, 9).double(), torch.randn(2, 7, 16).double()
    places = torch.arange(7)
    weights = LocalM(2)(scores, query, places, rows)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 7).double())
    assert [weights[0, place].nonzero().flatten().tolist() for place in (0, 4, 6)] == [
        [0, 1, 2],
        [2, 3, 4, 5, 6],
        [4, 5, 6, 7, 8],
    ]
    assert weights[1, :, 2:].count_nonzero() == 0  # a target longer than its source
    predicted = LocalP(16, 2).double()
    weights, centre = predicted(scores, query, places, rows), predicted.centre(query, rows)
    assert ((centre >= 0) & (centre <= rows.lengths[:, None])).all()
    far = (torch.arange(9) - centre[:, :, None]).abs() > 2
    assert weights[far].count_nonzero() == 0
    assert ((weights.sum(-1) > 0) & (weights.sum(-1) < 1)).all()


@pytest.mark.parametrize("score", ["bahdanau", "luong-general", "none"])
@torch.no_grad()
def test_only_attention_sees_past_the_bottleneck(score: str) -> None:
    """Without it, what the encoder says of a token in the middle is never read."""
    model = made(recurrent(cross_attention=score))
    source, rows = pad([[4, 5, 6, 7, 8]])
    memory = model.encode(source, rows)
    values = memory.values.clone()
    values[0, 2] += 1
    tokens = torch.tensor([4])
    before, after = (model.step(tokens, model.start(each))[0] for each in (memory, Memory(values, rows)))
    assert torch.equal(before, after) == (score == "none")


@pytest.mark.parametrize("score", ["bahdanau", "luong-dot", "none"])
@torch.no_grad()
def test_hypotheses_share_the_memory_of_their_sentence(score: str) -> None:
    model = made(recurrent(cross_attention=score))
    source, rows = pad(SOURCES[2:])
    state = model.start(model.encode(source, rows), width=3)
    assert [len(part) for part in (*state.cells[0], state.seen.key, state.seen.value)] == [6, 2, 2]
    turned, one = model.select(state, torch.tensor([2, 1, 0, 5, 4, 3])), model.select(state, torch.tensor([5, 3, 4]))
    assert turned.seen is state.seen
    assert torch.equal(one.seen.value, state.seen.value[1:])


@pytest.mark.parametrize("kind", [Gru, Lstm])
def test_cells_start_as_their_papers_advise(kind: type[Cell]) -> None:
    cell = kind(10, 6)
    for gate in cell.layer.weight_hh_l0.chunk(cell.gates):
        torch.testing.assert_close(gate @ gate.T, torch.eye(6))
    bias = (cell.layer.bias_ih_l0 + cell.layer.bias_hh_l0).view(cell.gates, 6)
    expected = torch.zeros(cell.gates, 6)
    if kind is Lstm:
        expected[1] = 1  # the forget gate: remember at first
    assert torch.equal(bias, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@ALL
def test_half_precision_is_close(settings: ModelSettings, dtype: torch.dtype) -> None:
    model, batch = made(settings).float(), models.Batch.of(SOURCES, TARGETS)
    expected = model(batch)
    with torch.autocast("cpu", dtype):
        found = model(batch)
    real = batch.target_rows.valid
    torch.testing.assert_close(found[real].float(), expected[real], rtol=0, atol=0.15)
    found[real].float().logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@ALL
def test_dropout_thins_while_training_only(settings: ModelSettings) -> None:
    batch, vocabulary = models.batch(1, [4], [3]), models.VOCABULARY
    model = build(settings.model_copy(update={"dropout": 0.5}), vocabulary, vocabulary, joint=True)
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))


def refusal(settings: ModelSettings) -> str:
    with pytest.raises(UsageError) as caught:
        refuse_impossible(settings, joint=True)
    return str(caught.value)


def test_all_reasons_are_given_at_once() -> None:
    changes = {"encoder_attention": "sparse", "decoder_attention": "sparse", "positions": "none"}
    said = refusal(ModelSettings(architecture="recurrent", model_dim=33, heads=1, **changes))
    for reason in ("model_dim of 33", "full is an attention of Transformers", "encoder_attention", "positions"):
        assert reason in said
    assert said.count("- ") == 5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alignment": "local-m"}, "alignment 'local-m' needs one of Luong's attentions, not bahdanau"),
        ({"cross_attention": "none", "alignment": "local-p"}, "not none"),
        ({"input_feeding": False}, "input_feeding = false would change nothing"),
        ({"cross_attention": "luong-dot", "window": 3}, "window = 3 would change nothing"),
        ({"heads": 2, "rank": 3}, "rank = 3 would change nothing"),
    ],
)
def test_what_a_recurrent_model_does_not_read_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert reason in refusal(recurrent(**changes))


def test_a_transformer_refuses_recurrent_settings() -> None:
    assert "attention of recurrent models" in refusal(models.settings(cross_attention="luong-dot"))
    assert "cell = lstm would change nothing" in refusal(models.settings(cell="lstm"))
