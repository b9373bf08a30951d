"""How much arithmetic a Transformer needs: the model FLOPs that MFU is measured by (a multiply-add counts 2)."""

from __future__ import annotations

from collections.abc import Sequence

from mtcli.settings import ModelSettings


def forward_flops(
    settings: ModelSettings, vocabulary: int, source_lengths: Sequence[int], target_lengths: Sequence[int]
) -> int:
    """Operations of the matrix products of one forward pass over sentence pairs of these lengths, EOS counted.

    With model and feed-forward widths d and f, vocabulary V, Le encoder and Ld decoder layers, for each pair of m
    and n tokens: m (2 Le (4 d^2 + 2 d f) + 4 Ld d^2) for the projections of the source, n (2 Ld (6 d^2 + 2 d f) +
    2 V d) for those of the target, and Le 4 m m d + Ld (2 n n d + 4 n m d) for attention, of which a causal one
    needs half. Padding, softmax, norms, dropout, lookups and the optimizer count nothing.
    """
    d, f = settings.model_dim, settings.feed_forward_dim
    encoders, decoders = settings.encoder_layers, settings.decoder_layers
    per_source = 2 * encoders * (4 * d * d + 2 * d * f) + 4 * decoders * d * d
    per_target = 2 * decoders * (6 * d * d + 2 * d * f) + 2 * vocabulary * d
    total = 0
    for m, n in zip(source_lengths, target_lengths, strict=True):
        attention = 4 * encoders * m * m + decoders * (2 * n * n + 4 * n * m)
        total += m * per_source + n * per_target + d * attention
    return total


def training_flops(
    settings: ModelSettings, vocabulary: int, source_lengths: Sequence[int], target_lengths: Sequence[int]
) -> int:
    """Operations of forward and backward pass: each product has two gradients of its own size."""
    return 3 * forward_flops(settings, vocabulary, source_lengths, target_lengths)
