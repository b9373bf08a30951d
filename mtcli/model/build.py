"""Settings to a model: the one place that knows which parts exist, and that refuses what cannot be built."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from mtcli import catalog
from mtcli.errors import UsageError
from mtcli.model.attention.mechanism import Mechanism
from mtcli.model.attention.multihead import MultiHeadAttention
from mtcli.model.embedding import Embedding
from mtcli.model.feed_forward import FeedForward
from mtcli.model.position import Position
from mtcli.model.residual import PreNorm
from mtcli.model.seq2seq import Seq2Seq
from mtcli.model.transformer import Decoder, DecoderBlock, Encoder, EncoderBlock, Transformer
from mtcli.settings import ModelSettings


def build(settings: ModelSettings, source_size: int, target_size: int, joint: bool) -> Seq2Seq[Any]:
    """The model for vocabularies of these sizes; `joint` says whether they are one vocabulary.

    Parameters are drawn from PyTorch's default generator: seed it first. Raises `UsageError`.
    """
    refuse_impossible(settings, joint)
    return transformer(settings, source_size, target_size)


def refuse_impossible(settings: ModelSettings, joint: bool) -> None:
    """Raise one `UsageError` with every reason why these settings are no model."""
    reasons = []
    if settings.model_dim % settings.heads:
        reasons.append(f"{settings.heads} heads cannot share a model_dim of {settings.model_dim} evenly")
    if settings.tied_embeddings == "three-way" and not joint:
        reasons.append("three-way tied embeddings need a joint vocabulary; use --tied-embeddings two-way")
    if not catalog.load("attention", settings.decoder_attention).supports_causal:
        reasons.append(f"{settings.decoder_attention} cannot be causal, so it cannot be the decoder's self-attention")
    if not catalog.load("attention", settings.cross_attention).supports_cross:
        reasons.append(
            f"{settings.cross_attention} cannot attend to another sequence, so it cannot be the cross-attention"
        )
    if reasons:
        raise UsageError("this model cannot be built", *(f"- {reason}" for reason in reasons))


def transformer(settings: ModelSettings, source_size: int, target_size: int) -> Transformer:
    """Every part of a Transformer, put together."""
    dim, heads = settings.model_dim, settings.heads
    position: Callable[[], Position] = partial(catalog.load("positions", settings.positions), dim, heads)
    residual_kind: type[PreNorm] = catalog.load("norm", settings.norm)
    residual = partial(residual_kind, dim, settings.dropout)
    activation = catalog.load("activation", settings.activation)

    def attention(name: str, where: Position) -> MultiHeadAttention:
        mechanism: Mechanism = catalog.load("attention", name)(settings.attention_dropout)
        return MultiHeadAttention(dim, heads, mechanism, where)

    def feed_forward() -> FeedForward:
        return FeedForward(dim, settings.feed_forward_dim, activation, settings.activation_dropout)

    source_table, target_table, output = embedding_tables(settings, source_size, target_size)
    in_source, in_target = position(), position()
    encoder = Encoder(
        [
            EncoderBlock(attention(settings.encoder_attention, in_source), feed_forward(), residual)
            for _ in range(settings.encoder_layers)
        ],
        residual_kind.last(dim),
    )
    decoder = Decoder(
        [
            DecoderBlock(
                attention(settings.decoder_attention, in_target),
                attention(settings.cross_attention, Position(dim, heads)),
                feed_forward(),
                residual,
            )
            for _ in range(settings.decoder_layers)
        ],
        residual_kind.last(dim),
    )
    source = Embedding(source_table, in_source, settings.dropout)
    target = Embedding(target_table, in_target, settings.dropout)
    return Transformer(source, target, encoder, decoder, output)


def embedding_tables(
    settings: ModelSettings, source_size: int, target_size: int
) -> tuple[nn.Embedding, nn.Embedding, nn.Linear]:
    """Source embeddings, target embeddings and readout, as one, two or three matrices."""
    dim, tied = settings.model_dim, settings.tied_embeddings
    target = table(target_size, dim)
    source = target if tied == "three-way" else table(source_size, dim)
    output = nn.Linear(dim, target_size, bias=False)
    output.weight = target.weight if tied != "none" else table(target_size, dim).weight
    return source, target, output


def table(size: int, dim: int) -> nn.Embedding:
    """Vectors of unit variance after the scaling by `sqrt(dim)`; as a readout, they give logits of unit variance."""
    vectors = nn.Embedding(size, dim)
    nn.init.normal_(vectors.weight, std=dim**-0.5)
    return vectors
