"""Settings to a Transformer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from torch import nn

from mtcli import catalog
from mtcli.model.attention.mechanism import Mechanism
from mtcli.model.attention.multihead import MultiHeadAttention
from mtcli.model.choice import Choice
from mtcli.model.embedding import Embedding, tables
from mtcli.model.feed_forward import FeedForward
from mtcli.model.plan import Plan
from mtcli.model.position import Position
from mtcli.model.residual import PreNorm
from mtcli.model.transformer import Decoder, DecoderBlock, Encoder, EncoderBlock, Transformer
from mtcli.settings import ModelSettings

PLACES = ("encoder_attention", "decoder_attention", "cross_attention")


class TransformerPlan(Plan):
    """Mechanisms, positions, residuals and feed-forward networks by name."""

    reads = (
        "architecture",
        *("encoder_layers", "decoder_layers", "model_dim", "feed_forward_dim", "heads", "key_value_heads", "qk_norm"),
        *(*PLACES, "positions", "norm", "normalization", "activation", "tied_embeddings"),
        *("dropout", "activation_dropout", "word_dropout", "layer_dropout"),
    )

    @classmethod
    def choices(cls, settings: ModelSettings) -> list[type[Choice]]:
        """Three mechanisms and the positions."""
        return [*(mechanism(settings, place) for place in PLACES), positions(settings)]

    @classmethod
    def reasons(cls, settings: ModelSettings) -> Iterator[str]:
        """Why these settings are no Transformer."""
        heads, groups = settings.heads, settings.key_value_heads
        if settings.model_dim % heads:
            yield f"{heads} heads cannot share a model_dim of {settings.model_dim} evenly"
        if groups and heads % groups:
            yield f"{heads} heads of queries cannot share {groups} heads of keys and values evenly"
        if settings.cross_attention not in catalog.ATTENTION:
            yield f"{settings.cross_attention} is an attention of recurrent models; choose another --cross-attention"
            return
        if not mechanism(settings, "decoder_attention").supports_causal:
            yield f"{settings.decoder_attention} cannot be causal, so it cannot be the decoder's self-attention"
        if not mechanism(settings, "cross_attention").supports_cross:
            yield f"{settings.cross_attention} cannot attend to another sequence, so it cannot be the cross-attention"
        yield from misplaced(settings)

    @classmethod
    def supports_attention(cls, settings: ModelSettings) -> bool:
        """Whether the cross-attention has weights."""
        return mechanism(settings, "cross_attention").supports_weights

    @classmethod
    def unpackable(cls, settings: ModelSettings) -> Iterator[str]:
        """Fast attention over sentences of several lengths has neither a bias nor dropout."""
        for name in dict.fromkeys(getattr(settings, place) for place in PLACES):
            if not catalog.load("attention", name).supports_packed:
                yield f"{name} attention cannot tell sentences apart"
        if positions(settings).changes_logits:
            yield f"positions {settings.positions!r} change attention logits"
        if settings.attention_dropout:
            yield "attention weights are dropped (--attention-dropout)"

    @classmethod
    def assemble(cls, settings: ModelSettings, source_size: int, target_size: int) -> Transformer:
        """Every part of a Transformer, put together."""
        source_table, target_table, output = tables(settings, source_size, target_size)
        in_source, in_target = Places(settings, causal=False), Places(settings, causal=True)
        last = residual_kind(settings).last
        encoder = Encoder(
            [encoder_block(settings, in_source, layer) for layer in range(1, settings.encoder_layers + 1)],
            last(normed(settings)),
            settings.layer_dropout,
        )
        decoder = Decoder(
            [decoder_block(settings, in_target, layer) for layer in range(1, settings.decoder_layers + 1)],
            last(normed(settings)),
            settings.layer_dropout,
        )
        source = Embedding(source_table, in_source.of_tokens, settings.dropout, settings.word_dropout)
        target = Embedding(target_table, in_target.of_tokens, settings.dropout, settings.word_dropout)
        model = Transformer(source, target, encoder, decoder, output)
        model.longest_source, model.longest_target = longest(settings)
        return model


def misplaced(settings: ModelSettings) -> Iterator[str]:
    """Why the positions are impossible, or cannot enter the self-attentions."""
    kind = positions(settings)
    yield from kind.reasons(settings)
    for name in dict.fromkeys((settings.encoder_attention, settings.decoder_attention)):
        attention: type[Mechanism] = catalog.load("attention", name)
        if (kind.changes_logits or kind.changes_values) and not attention.supports_bias:
            yield f"positions {settings.positions!r} need attention logits, which {name} never forms"
        if kind.rotates and not attention.supports_rotation:
            yield f"positions {settings.positions!r} turn queries and keys, which {name} mixes before they meet"


def longest(settings: ModelSettings) -> tuple[int | None, int | None]:
    """Tokens of the longest source and of the longest target; None: any."""
    kinds = {place: mechanism(settings, place) for place in PLACES}
    of_source = (kinds["encoder_attention"], kinds["cross_attention"], positions(settings))
    of_target = (kinds["decoder_attention"], positions(settings))
    first, second = (
        settings.max_positions if any(k.bounded for k in side) else None for side in (of_source, of_target)
    )
    return first, second


def mechanism(settings: ModelSettings, place: str) -> type[Mechanism]:
    """The mechanism chosen for a place."""
    kind: type[Mechanism] = catalog.load("attention", getattr(settings, place))
    return kind


def positions(settings: ModelSettings) -> type[Position]:
    """The positional encoding chosen."""
    kind: type[Position] = catalog.load("positions", settings.positions)
    return kind


def residual_kind(settings: ModelSettings) -> type[PreNorm]:
    """What surrounds each branch."""
    kind: type[PreNorm] = catalog.load("norm", settings.norm)
    return kind


def normed(settings: ModelSettings) -> Callable[[], nn.Module]:
    """Makes a norm of the residual stream."""
    return partial(catalog.load("normalization", settings.normalization), settings.model_dim)


class Places:
    """The positional encodings of one stack: one for all layers, or one for each."""

    def __init__(self, settings: ModelSettings, causal: bool) -> None:
        self.make = partial(positions(settings).directed, settings, causal)
        self.one = self.make() if positions(settings).shared else None

    @property
    def of_tokens(self) -> Position:
        """The encoding that the embeddings get; an encoding for each layer leaves them alone."""
        return self.one or Position()

    def of_layer(self) -> Position:
        """The encoding of the next layer's self-attention."""
        return self.one or self.make()


def attention(settings: ModelSettings, place: str, position: Position, gain: float) -> MultiHeadAttention:
    """The attention of one layer at one place."""
    sizes = settings.model_dim, settings.heads
    normalize = catalog.load("normalization", settings.normalization) if settings.qk_norm else None
    mixing = mechanism(settings, place).of(settings)
    return MultiHeadAttention(*sizes, mixing, position, settings.key_value_heads, normalize, gain)


def feed_forward(settings: ModelSettings, gain: float) -> FeedForward:
    """The feed-forward network of one layer."""
    kind: type[FeedForward] = catalog.load("activation", settings.activation)
    return kind(settings.model_dim, settings.feed_forward_dim, settings.activation_dropout, gain)


def encoder_block(settings: ModelSettings, places: Places, layer: int) -> EncoderBlock:
    """Layer 1, 2, ... of the encoder."""
    gain = residual_kind(settings).gain(layer)
    return EncoderBlock(
        attention(settings, "encoder_attention", places.of_layer(), gain),
        feed_forward(settings, gain),
        partial(residual_kind(settings), normed(settings), settings.dropout),
    )


def decoder_block(settings: ModelSettings, places: Places, layer: int) -> DecoderBlock:
    """Layer 1, 2, ... of the decoder."""
    gain = residual_kind(settings).gain(layer)
    return DecoderBlock(
        attention(settings, "decoder_attention", places.of_layer(), gain),
        attention(settings, "cross_attention", Position(), gain),
        feed_forward(settings, gain),
        partial(residual_kind(settings), normed(settings), settings.dropout),
    )
