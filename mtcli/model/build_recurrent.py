"""Settings to a recurrent model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from mtcli import catalog
from mtcli.model.attention.alignment import Alignment
from mtcli.model.attention.recurrent import Attention, Bottleneck, Look
from mtcli.model.cell import Cell, Stack
from mtcli.model.choice import Choice
from mtcli.model.embedding import Embedding, tables
from mtcli.model.plan import Plan
from mtcli.model.position import Position
from mtcli.model.recurrent import BothWays, Encoder, Recurrent
from mtcli.model.recurrent_decoder import Decoder
from mtcli.settings import ModelSettings

OF_TRANSFORMERS = {
    "encoder_attention": "the tokens of a source meet in the encoder's cells",
    "decoder_attention": "the past of a target is in the decoder's cells",
    "positions": "a recurrent model reads its tokens in order, and knows it by that",
    "layer_dropout": "no residual connection leads around its layers",
}
"""Settings that a recurrent model has no place for, and why."""


class RecurrentPlan(Plan):
    """Cells, scores and alignments by name."""

    reads = (
        *("architecture", "encoder_layers", "decoder_layers", "model_dim", "cell", "cross_attention", "alignment"),
        *("tied_embeddings", "dropout", "word_dropout"),
    )

    @classmethod
    def choices(cls, settings: ModelSettings) -> list[type[Choice]]:
        """The decoder and its alignment."""
        return [decoder_kind(settings), alignment_kind(settings)]

    @classmethod
    def reasons(cls, settings: ModelSettings) -> Iterator[str]:
        """Why these settings are no recurrent model."""
        if settings.model_dim % 2:
            yield f"the encoder's two directions cannot share a model_dim of {settings.model_dim} evenly"
        for name, why in OF_TRANSFORMERS.items():
            value = getattr(settings, name)
            if value != ModelSettings.model_fields[name].default:
                yield f"{name} {value!r} has no place in a recurrent model: {why}"
        if settings.cross_attention not in catalog.SCORE:
            choice = f"choose a --cross-attention of {', '.join(catalog.SCORE)}"
            yield f"{settings.cross_attention} is an attention of Transformers; {choice}"
        elif settings.alignment != "global" and not decoder_kind(settings).local:
            yield f"alignment {settings.alignment!r} needs one of Luong's attentions, not {settings.cross_attention}"

    @classmethod
    def supports_attention(cls, settings: ModelSettings) -> bool:
        """Whether the decoder scores the memory's vectors."""
        return decoder_kind(settings).score is not None

    @classmethod
    def unpackable(cls, settings: ModelSettings) -> Iterator[str]:
        """Cells know no other end of a sentence than that of its row."""
        yield "a recurrent model would read on from one sentence into the next"

    @classmethod
    def assemble(cls, settings: ModelSettings, source_size: int, target_size: int) -> Recurrent:
        """Every part of a recurrent model, put together."""
        source_table, target_table, output = tables(settings, source_size, target_size)
        source = Embedding(source_table, Position(), settings.dropout, settings.word_dropout)
        target = Embedding(target_table, Position(), settings.dropout, settings.word_dropout)
        layers = [both_ways(settings) for _ in range(settings.encoder_layers)]
        encoder = Encoder(layers, settings.dropout)
        return Recurrent(source, target, encoder, decoder(settings), output, settings.dropout)


def decoder_kind(settings: ModelSettings) -> type[Decoder]:
    """The decoder chosen."""
    kind: type[Decoder] = catalog.load("cross-attention", settings.cross_attention)
    return kind


def alignment_kind(settings: ModelSettings) -> type[Alignment]:
    """The alignment chosen."""
    kind: type[Alignment] = catalog.load("alignment", settings.alignment)
    return kind


def cell_kind(settings: ModelSettings) -> type[Cell]:
    """The cell chosen."""
    kind: type[Cell] = catalog.load("cell", settings.cell)
    return kind


def both_ways(settings: ModelSettings) -> BothWays:
    """One layer of the encoder."""
    make, dim = cell_kind(settings), settings.model_dim
    return BothWays(make(dim, dim // 2), make(dim, dim // 2))


def decoder(settings: ModelSettings) -> Decoder:
    """The decoder with its cells and its look at the memory."""
    kind = decoder_kind(settings)
    own = {name: getattr(settings, name) for name in kind.reads}
    return kind(settings.model_dim, partial(stack, settings), look(settings), **own)


def stack(settings: ModelSettings, input_dim: int) -> Stack:
    """The decoder's cells, the lowest of which reads vectors of this width."""
    make, dim = cell_kind(settings), settings.model_dim
    upper = settings.decoder_layers - 1
    return Stack([make(input_dim, dim), *(make(dim, dim) for _ in range(upper))], settings.dropout)


def look(settings: ModelSettings) -> Look:
    """What the decoder sees of the memory."""
    score = decoder_kind(settings).score
    if score is None:
        return Bottleneck()
    return Attention(score(settings.model_dim), alignment_kind(settings).of(settings))
