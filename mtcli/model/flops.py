"""How much arithmetic a Transformer needs: the model FLOPs that speed is measured by (a multiply-add counts 2).

With model and feed-forward widths d and f, keys and values of width e, vocabulary V, Le encoder and Ld decoder
layers and w = 2 feed-forward matrices, with a gate 3, the matrix products need, for m source and n target tokens,
EOS counted:

to read the source    m (2 Le (2 d^2 + 2 d e + w d f) + 4 Ld d e) + 4 Le m m d
to predict the target n (2 Ld (4 d^2 + 2 d e + w d f) + 2 V d) + 4 Ld d (n m + past)

The 4 Ld d e are the memory's keys and values, computed once. `past` is how many target tokens the n see in all:
n n / 2 in training, where a causal attention needs half of a full one, and 1 + 2 + ... + n step by step.
Padding, softmax, norms, positions, dropout, lookups, the search and the optimizer count nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtcli.catalog import load
from mtcli.settings import ModelSettings


def countable(settings: ModelSettings) -> bool:
    """Whether it is a Transformer with full attention: the products of others are not counted here."""
    names = settings.encoder_attention, settings.decoder_attention, settings.cross_attention
    return settings.architecture == "transformer" and set(names) == {"full"}


def forward_flops(
    settings: ModelSettings, vocabulary: int, source_lengths: Sequence[int], target_lengths: Sequence[int]
) -> int:
    """Operations of one forward pass over sentence pairs of these lengths; `ValueError` if not `countable`."""
    cost = Cost.of(settings, vocabulary)
    pairs = zip(source_lengths, target_lengths, strict=True)
    return sum(cost.reading(m) + cost.predicting(m, n, n * n) for m, n in pairs)


def training_flops(
    settings: ModelSettings, vocabulary: int, source_lengths: Sequence[int], target_lengths: Sequence[int]
) -> int:
    """Operations of forward and backward pass: each product has two gradients of its own size."""
    return 3 * forward_flops(settings, vocabulary, source_lengths, target_lengths)


def decoding_flops(
    settings: ModelSettings,
    vocabulary: int,
    source_lengths: Sequence[int],
    target_lengths: Sequence[int],
    width: int,
) -> int:
    """Operations of reading each source once and predicting `width` targets of one length token by token, cached.

    Of a beam search this is an approximation: `target_lengths` are those of the best hypotheses, and others may end
    earlier or be followed further. `ValueError` if not `countable`.
    """
    cost = Cost.of(settings, vocabulary)
    pairs = zip(source_lengths, target_lengths, strict=True)
    return sum(cost.reading(m) + width * cost.predicting(m, n, n * (n + 1)) for m, n in pairs)


@dataclass(frozen=True)
class Cost:
    """What one token costs, and one token's look at another."""

    source: int
    target: int
    source_look: int
    target_look: int

    @classmethod
    def of(cls, settings: ModelSettings, vocabulary: int) -> Cost:
        """The costs of a model."""
        if not countable(settings):
            raise ValueError("only Transformers with full attention are counted")
        d, e = settings.model_dim, settings.head_dim * (settings.key_value_heads or settings.heads)
        encoders, decoders = settings.encoder_layers, settings.decoder_layers
        feed_forward = (1 + load("activation", settings.activation).parts) * d * settings.feed_forward_dim
        return cls(
            source=2 * encoders * (2 * d * d + 2 * d * e + feed_forward) + 4 * decoders * d * e,
            target=2 * decoders * (4 * d * d + 2 * d * e + feed_forward) + 2 * vocabulary * d,
            source_look=4 * encoders * d,
            target_look=4 * decoders * d,
        )

    def reading(self, m: int) -> int:
        """A source of `m` tokens."""
        return m * self.source + m * m * self.source_look

    def predicting(self, m: int, n: int, twice_past: int) -> int:
        """A target of `n` tokens after a source of `m`, which together see half of `twice_past` target tokens."""
        return n * self.target + (2 * n * m + twice_past) * self.target_look // 2
