"""The FLOP formula against PyTorch's own counter."""

from __future__ import annotations

import pytest
from flops import forward_flops, training_flops
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mtcli.layout import Batch
from mtcli.model.build import build
from mtcli.settings import ModelSettings

SOURCES, TARGETS = [[5, 6, 7, 8]] * 3, [[6, 5]] * 3
M, N = 5, 3
"""Lengths with EOS, the same in each row, because PyTorch counts padding as work."""


def uncaused(settings: ModelSettings) -> int:
    """What a causal attention saves in the formula and does not in PyTorch's plain kernel."""
    return len(SOURCES) * settings.decoder_layers * 2 * N * N * settings.model_dim


@pytest.mark.parametrize(
    "settings",
    [
        ModelSettings(encoder_layers=1, decoder_layers=1, model_dim=8, feed_forward_dim=12, heads=2, dropout=0),
        ModelSettings(encoder_layers=3, decoder_layers=2, model_dim=16, feed_forward_dim=24, heads=4, dropout=0),
        ModelSettings(encoder_layers=1, decoder_layers=4, model_dim=8, feed_forward_dim=40, heads=1, norm="post"),
        ModelSettings(encoder_layers=2, decoder_layers=1, model_dim=8, feed_forward_dim=12, activation="swiglu"),
        ModelSettings(encoder_layers=1, decoder_layers=2, model_dim=16, key_value_heads=1, qk_norm=True),
        ModelSettings(encoder_layers=2, decoder_layers=2, model_dim=16, key_value_heads=2, activation="gelu"),
    ],
)
def test_the_formula_counts_what_pytorch_counts(settings: ModelSettings) -> None:
    vocabulary = 11
    model = build(settings, vocabulary, vocabulary, joint=True)
    batch = Batch.of(SOURCES, TARGETS)
    lengths = [M] * len(SOURCES), [N] * len(SOURCES)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        logits = model(batch)
        assert counter.get_total_flops() == forward_flops(settings, vocabulary, *lengths) + uncaused(settings)
        logits.sum().backward()
    assert counter.get_total_flops() == training_flops(settings, vocabulary, *lengths) + 3 * uncaused(settings)


def test_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="full attention"):
        forward_flops(ModelSettings(encoder_attention="linformer"), 100, [3], [4])


def test_work_grows_with_each_pair_alone() -> None:
    settings = ModelSettings()
    together = forward_flops(settings, 100, [3, 7], [4, 2])
    assert together == forward_flops(settings, 100, [3], [4]) + forward_flops(settings, 100, [7], [2])
