"""Words and blocks that are left out at random: how often, what is left then, and that none is when decoding."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from mtcli.errors import UsageError
from mtcli.layout import BOS, EOS, Batch
from mtcli.model.build import build
from mtcli.model.dropout import LayerDropout, WordDropout
from mtcli.model.embedding import Embedding, table
from mtcli.model.position import Sinusoidal
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import ModelSettings, TrainingSettings
from mtcli.training.optimizer import adamw
from tests.laws import models

DIM = 6
PLAIN = {"dropout": 0.0}
KINDS: list[dict[str, Any]] = [
    {},
    {"norm": "post", "positions": "t5"},
    {"architecture": "recurrent", "cross_attention": "bahdanau"},
    {"architecture": "recurrent", "cross_attention": "luong-dot", "tied_embeddings": "none"},
]


def made(**chosen: Any) -> Seq2Seq[Any]:
    """A model in float64 whose parameters do not depend on what it leaves out."""
    torch.manual_seed(3)
    settings = models.settings(**{**PLAIN, **chosen})
    return build(settings, models.VOCABULARY, models.VOCABULARY, joint=True).double()


@pytest.mark.parametrize("kind", KINDS)
def test_at_rest_nothing_is_left_out(kind: dict[str, Any]) -> None:
    left_out = {"word_dropout": 0.5}
    if kind.get("architecture") != "recurrent":
        left_out["layer_dropout"] = 0.5
    one, other = made(**kind, **left_out), made(**kind)
    batch = models.batch(1, [5, 3], [2, 4])
    assert list(one.state_dict()) == list(other.state_dict())
    assert torch.equal(one.eval()(batch), other.eval()(batch))
    assert torch.equal(other.train()(batch), other.eval()(batch))
    assert not torch.equal(one.train()(batch), other(batch))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_word_is_there_as_it_is_or_only_its_place_is(p: float) -> None:
    """So its expectation is that of the unscaled vector with probability 1 - p; BOS and EOS are always there."""
    torch.manual_seed(1)
    embedding = Embedding(table(9, DIM), Sinusoidal(DIM), 0.0, p)
    tokens = torch.randint(0, 9, (40, 200))
    full = embedding.eval()(tokens)
    places = Sinusoidal(DIM).embed(torch.zeros(40, 200, DIM), 0)
    found = embedding.train()(tokens)
    there, gone = (found == full).all(-1), (found == places).all(-1)
    assert bool((there ^ gone).all())
    words = (tokens != BOS) & (tokens != EOS)
    assert bool(there[~words].all())
    assert (~words).any()
    assert stats.binomtest(int(gone.sum()), int(words.sum()), p).pvalue > 1e-4
    for token in (0, 1, 4, 8):  # padding does not matter; unknown words are words
        one = gone[tokens == token]
        assert stats.binomtest(int(one.sum()), len(one), p).pvalue > 1e-4


def test_neighbours_are_left_out_independently() -> None:
    torch.manual_seed(1)
    dropped = (WordDropout(0.3)(torch.ones(500, 40, 1), torch.full((500, 40), 5)) == 0).float()[..., 0]
    for one, other in ((dropped[:, 1:], dropped[:, :-1]), (dropped[1:], dropped[:-1])):
        correlation = torch.corrcoef(torch.stack((one.flatten(), other.flatten())))[0, 1]
        assert correlation.abs() < 5 / one.numel() ** 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_with_no_word_left_only_lengths_count(kind: dict[str, Any]) -> None:
    """On both sides, in every architecture; with all words left, each counts."""
    batch = models.batch(1, [5, 3], [2, 4])
    sources, targets = models.batch(7, [5, 3], [2, 4]).source, models.batch(9, [5, 3], [2, 4]).target_in
    others = [
        Batch(sources, batch.source_rows, batch.target_in, batch.target_out, batch.target_rows),
        Batch(batch.source, batch.source_rows, targets, batch.target_out, batch.target_rows),
    ]
    blind, seeing = made(**kind, word_dropout=1 - 1e-9).train(), made(**kind).train()
    real = batch.target_rows.valid
    for other in others:
        assert torch.equal(blind(batch)[real], blind(other)[real])
        assert not torch.equal(seeing(batch)[real], seeing(other)[real])


def without(model: Seq2Seq[Any], kept: tuple[bool, ...]) -> Seq2Seq[Any]:
    """The same model with only those blocks; the encoder's come first."""
    model.encoder.blocks = nn.ModuleList([b for b, k in zip(model.encoder.blocks, kept[:2], strict=True) if k])
    model.decoder.blocks = nn.ModuleList([b for b, k in zip(model.decoder.blocks, kept[2:], strict=True) if k])
    return model


SUBSETS = list(product([True, False], repeat=3))
DEPTH = {"encoder_layers": 2, "decoder_layers": 1}


@pytest.mark.parametrize("kind", KINDS[:2])
@torch.no_grad()
def test_blocks_are_skipped_as_often_as_asked_and_as_if_they_were_not_there(kind: dict[str, Any]) -> None:
    p, draws, batch = 0.3, 200, models.batch(1, [5, 3], [2, 4])
    smaller = [without(made(**kind, **DEPTH), kept).eval()(batch) for kept in SUBSETS]
    # Without its only block the decoder sees nothing of the encoder: some subsets are one outcome.
    outcomes = [next(i for i, other in enumerate(smaller) if torch.allclose(one, other)) for one in smaller]
    assert len(set(outcomes)) == 5
    expected, found = [0.0] * len(SUBSETS), [0] * len(SUBSETS)
    for kept, outcome in zip(SUBSETS, outcomes, strict=True):
        expected[outcome] += draws * p ** kept.count(False) * (1 - p) ** kept.count(True)
    model = made(**kind, **DEPTH, layer_dropout=p).train()
    for _ in range(draws):
        logits = model(batch)
        (outcome,) = {outcomes[i] for i, other in enumerate(smaller) if torch.allclose(logits, other)}
        found[outcome] += 1
    told = sorted(set(outcomes))
    assert stats.chisquare([found[i] for i in told], [expected[i] for i in told]).pvalue > 1e-4


def gradients(model: Seq2Seq[Any], batch: Batch) -> dict[str, Tensor]:
    model.zero_grad()
    model(batch).square().sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize("kept", [(True, False, True), (True, True, False)])
def test_gradients_are_those_of_the_smaller_model_and_zero_elsewhere(
    kept: tuple[bool, ...], kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder's too where the decoder's only block is skipped, which alone reads what it says."""
    batch = models.batch(1, [5, 3], [2, 4])
    full = made(**kind, **DEPTH, layer_dropout=0.5).train()
    skipped = full.encoder.blocks[1] if kept[2] else full.decoder.blocks[0]
    chance = LayerDropout.forward

    def chosen(self: LayerDropout, block: nn.Module, *given: Any) -> Tensor:
        self.p = 1.0 if block is skipped else 0.0
        return chance(self, block, *given)

    monkeypatch.setattr(LayerDropout, "forward", chosen)
    found = gradients(full, batch)
    assert found.keys() == dict(full.named_parameters()).keys()
    expected = gradients(without(made(**kind, **DEPTH).train(), kept), batch)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected.get(name, torch.zeros_like(gradient)), rtol=0, atol=0)
    assert any(name not in expected for name in found)


def test_an_optimizer_counts_the_steps_that_skip_a_block() -> None:
    """Its moments fade then, as with any gradient of zero, and matrices decay as in every other step."""
    settings = TrainingSettings(lr=0.1, weight_decay=0.5)
    model = made(layer_dropout=0.5).train()
    optimizer = adamw(model, settings)
    batch, blocks = models.batch(1, [5, 3], [2, 4]), [*model.encoder.blocks, *model.decoder.blocks]
    inside = [each for block in blocks for each in block.parameters()]
    seen = []
    for p in (0.0, 1.0):
        model.encoder.layer_dropout.p = model.decoder.layer_dropout.p = p
        gradients(model, batch)
        optimizer.step()
        seen.append([{k: v.clone() for k, v in optimizer.state[each].items()} for each in inside])
    for first, second in zip(*seen, strict=True):
        assert (first["step"], second["step"]) == (1, 2)
        torch.testing.assert_close(second["exp_avg"], settings.beta1 * first["exp_avg"])
        torch.testing.assert_close(second["exp_avg_sq"], settings.beta2 * first["exp_avg_sq"])


def test_a_recurrent_model_cannot_skip_layers() -> None:
    settings = ModelSettings(architecture="recurrent", cross_attention="bahdanau", layer_dropout=0.2)
    with pytest.raises(UsageError) as caught:
        build(settings, 9, 9, joint=True)
    assert "layer_dropout 0.2 has no place in a recurrent model: no residual connection" in str(caught.value)
