"""The FLOP formulas against PyTorch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mtcli.layout import Batch
from mtcli.model.build import build
from mtcli.model.flops import countable, decoding_flops, forward_flops, training_flops
from mtcli.settings import ModelSettings

SOURCES, TARGETS = [[5, 6, 7, 8]] * 3, [[6, 5]] * 3
M, N = 5, 3
"""Lengths with EOS, the same in each row, because PyTorch counts padding as work."""

VOCABULARY = 11

MODELS = [
    ModelSettings(encoder_layers=1, decoder_layers=1, model_dim=8, feed_forward_dim=12, heads=2, dropout=0),
    ModelSettings(encoder_layers=3, decoder_layers=2, model_dim=16, feed_forward_dim=24, heads=4, dropout=0),
    ModelSettings(encoder_layers=1, decoder_layers=4, model_dim=8, feed_forward_dim=40, heads=1, norm="post"),
    ModelSettings(encoder_layers=2, decoder_layers=1, model_dim=8, feed_forward_dim=12, activation="swiglu"),
    ModelSettings(encoder_layers=1, decoder_layers=2, model_dim=16, key_value_heads=1, qk_norm=True),
    ModelSettings(encoder_layers=2, decoder_layers=2, model_dim=16, key_value_heads=2, activation="gelu"),
]


def uncaused(settings: ModelSettings) -> int:
    """What a causal attention saves in the formula and does not in PyTorch's plain kernel."""
    return len(SOURCES) * settings.decoder_layers * 2 * N * N * settings.model_dim


@pytest.mark.parametrize("settings", MODELS)
def test_training_is_what_pytorch_counts(settings: ModelSettings) -> None:
    model = build(settings, VOCABULARY, VOCABULARY, joint=True)
    batch = Batch.of(SOURCES, TARGETS)
    lengths = [M] * len(SOURCES), [N] * len(SOURCES)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        logits = model(batch)
        assert counter.get_total_flops() == forward_flops(settings, VOCABULARY, *lengths) + uncaused(settings)
        logits.sum().backward()
    assert counter.get_total_flops() == training_flops(settings, VOCABULARY, *lengths) + 3 * uncaused(settings)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("settings", MODELS)
def test_decoding_is_what_pytorch_counts(settings: ModelSettings, width: int) -> None:
    """The encoder with the memory's keys and values, and then each step of as many hypotheses as the beam is wide."""
    model = build(settings, VOCABULARY, VOCABULARY, joint=True).eval()
    batch, sentences = Batch.of(SOURCES, TARGETS), len(SOURCES)

    def counted(steps: int) -> int:
        return decoding_flops(settings, VOCABULARY, [M] * sentences, [steps] * sentences, width)

    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        state = model.start(model.encode(batch.source, batch.source_rows), width)
        assert counter.get_total_flops() == counted(steps=0)
        for step in range(1, 5):
            _, state = model.step(torch.full((sentences * width,), 5), state)
            assert counter.get_total_flops() == counted(step)


def test_other_models_are_refused() -> None:
    others = (
        ModelSettings(encoder_attention="linformer"),
        ModelSettings(decoder_attention="performer"),
        ModelSettings(architecture="recurrent", cross_attention="bahdanau"),
    )
    assert countable(ModelSettings())
    for settings in others:
        assert not countable(settings)
        with pytest.raises(ValueError, match="full attention"):
            forward_flops(settings, 100, [3], [4])
        with pytest.raises(ValueError, match="full attention"):
            decoding_flops(settings, 100, [3], [4], 5)


def test_work_grows_with_each_pair_alone() -> None:
    settings, pairs = ModelSettings(), [(3, 4), (7, 2)]
    apart = [([m], [n]) for m, n in pairs]
    assert forward_flops(settings, 100, [3, 7], [4, 2]) == sum(forward_flops(settings, 100, *each) for each in apart)
    assert decoding_flops(settings, 100, [3, 7], [4, 2], 5) == sum(
        decoding_flops(settings, 100, *each, 5) for each in apart
    )
