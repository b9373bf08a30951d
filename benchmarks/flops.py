"""How much arithmetic a Transformer needs: the model FLOPs that MFU is measured by (a multiply-add counts 2)."""

from __future__ import annotations

from collections.abc import Sequence

from mtcli.catalog import load
from mtcli.settings import ModelSettings


def forward_flops(
    settings: ModelSettings, vocabulary: int, source_lengths: Sequence[int], target_lengths: Sequence[int]
) -> int:
    """Operations of the matrix products of one forward pass over sentence pairs of these lengths, EOS counted.

    With model and feed-forward widths d and f, keys and values of width e, vocabulary V, Le encoder and Ld decoder
    layers and w = 2 feed-forward matrices, with a gate 3, for each pair of m and n tokens:
    m (2 Le (2 d^2 + 2 d e + w d f) + 4 Ld d e) for the projections of the source,
    n (2 Ld (4 d^2 + 2 d e + w d f) + 2 V d) for those of the target, and
    Le 4 m m d + Ld (2 n n d + 4 n m d) for attention, of which a causal one needs half.
    Padding, softmax, norms, positions, dropout, lookups and the optimizer count nothing. Raises `ValueError` for
    other models than Transformers with full attention.
    """
    refuse_others(settings)
    d, e = settings.model_dim, settings.head_dim * (settings.key_value_heads or settings.heads)
    encoders, decoders = settings.encoder_layers, settings.decoder_layers
    feed_forward = (1 + load("activation", settings.activation).parts) * d * settings.feed_forward_dim
    per_source = 2 * encoders * (2 * d * d + 2 * d * e + feed_forward) + 4 * decoders * d * e
    per_target = 2 * decoders * (4 * d * d + 2 * d * e + feed_forward) + 2 * vocabulary * d
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


def refuse_others(settings: ModelSettings) -> None:
    """Raise `ValueError` for a model whose products are not counted here."""
    names = settings.encoder_attention, settings.decoder_attention, settings.cross_attention
    if settings.architecture != "transformer" or set(names) != {"full"}:
        raise ValueError("only Transformers with full attention are counted")
