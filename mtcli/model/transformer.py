"""The encoder-decoder Transformer (Vaswani et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.layout import Attend, Batch, Rows
from mtcli.model.attention.mechanism import Past
from mtcli.model.attention.multihead import MultiHeadAttention
from mtcli.model.dropout import LayerDropout
from mtcli.model.embedding import Embedding
from mtcli.model.feed_forward import FeedForward
from mtcli.model.residual import PreNorm
from mtcli.model.seq2seq import Memory, Seq2Seq


class Transformer(Seq2Seq["TransformerState"]):
    """Embeddings, an encoder, a decoder, and a readout that shares the target embeddings when they are tied."""

    def __init__(
        self, source: Embedding, target: Embedding, encoder: Encoder, decoder: Decoder, output: nn.Linear
    ) -> None:
        super().__init__()
        self.source = source
        self.target = target
        self.encoder = encoder
        self.decoder = decoder
        self.output = output

    def encode(self, source: Int[Tensor, "b s"], rows: Rows) -> Memory:
        """Read the source."""
        return Memory(self.encoder(self.source(source, rows.where), rows), rows)

    def readout(self, batch: Batch) -> Float[Tensor, "b t m"]:
        """The vectors from which `output` predicts each target token, given all target tokens before it."""
        memory = self.encode(batch.source, batch.source_rows)
        target = self.target(batch.target_in, batch.target_rows.where)
        vectors: Tensor = self.decoder(target, batch.target_rows, memory)
        return vectors

    @property
    def supports_attention(self) -> bool:
        """Whether the cross-attention has weights."""
        return self.decoder.blocks[0].cross_attention.mechanism.supports_weights

    def readout_and_attention(self, batch: Batch) -> tuple[Float[Tensor, "b t m"], Float[Tensor, "b t s"]]:
        """`readout`, and how much the prediction of each target token looks at each source token, of one pass."""
        memory = self.encode(batch.source, batch.source_rows)
        return self.decoder.watched(self.target(batch.target_in), batch.target_rows, memory)

    def start(self, memory: Memory, width: int = 1) -> TransformerState:
        """The state before the first step; the memory's keys and values are computed once per sentence and layer."""
        seen = [block.cross_attention.remember(memory.values, memory.rows) for block in self.decoder.blocks]
        return TransformerState(0, width, [None] * len(seen), seen, memory.rows)

    def step(
        self, tokens: Int[Tensor, " n"], state: TransformerState
    ) -> tuple[Float[Tensor, "n v"], TransformerState]:
        """Feed one token to each row; return the logits of the next tokens and the state after it."""
        x = self.target(tokens[:, None], state.length)
        x, state = self.decoder.step(x, state)
        return self.output(x[:, 0]), state

    def select(self, state: TransformerState, rows: Int[Tensor, " n"]) -> TransformerState:
        """The state whose row `i` continues the old row `rows[i]`."""
        return state.select(rows)


@dataclass(frozen=True)
class TransformerState:
    """What the decoder remembers: per layer the past of each row, and the memory of each sentence."""

    length: int
    width: int
    past: list[Past | None]
    seen: list[Past]
    rows: Rows

    def select(self, rows: Int[Tensor, " n"]) -> TransformerState:
        """The state whose row `i` continues the old row `rows[i]`; sentences without rows are dropped."""
        past = [cache.select(rows) if cache else None for cache in self.past]
        seen, memory_rows = self.seen, self.rows
        sentences = rows[:: self.width] // self.width
        if len(sentences) < len(memory_rows.lengths):
            seen = [cache.select(sentences) for cache in seen]
            memory_rows = Rows(memory_rows.lengths[sentences], memory_rows.width)
        return TransformerState(self.length, self.width, past, seen, memory_rows)


class Encoder(nn.Module):
    """A stack of blocks in which all source tokens see each other."""

    def __init__(self, blocks: list[EncoderBlock], last: nn.Module, layer_dropout: float) -> None:
        super().__init__()
        self.blocks: Sequence[EncoderBlock] = nn.ModuleList(blocks)  # type: ignore[assignment]
        self.last = last
        self.layer_dropout = LayerDropout(layer_dropout)

    def forward(self, x: Float[Tensor, "b s m"], rows: Rows) -> Float[Tensor, "b s m"]:
        """One vector per source token."""
        attend = Attend(rows, rows)
        for block in self.blocks:
            x = self.layer_dropout(block, x, attend)
        encoded: Tensor = self.last(x)
        return encoded


class EncoderBlock(nn.Module):
    """Self-attention, then a feed-forward network."""

    def __init__(
        self, attention: MultiHeadAttention, feed_forward: FeedForward, residual: Callable[[], PreNorm]
    ) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.attention_residual = residual()
        self.feed_forward_residual = residual()

    def forward(self, x: Float[Tensor, "b s m"], attend: Attend) -> Float[Tensor, "b s m"]:
        """Mix over tokens, then within each."""
        around = self.attention_residual
        x = around.join(x, self.attention(around.enter(x), attend))
        around = self.feed_forward_residual
        return around.join(x, self.feed_forward(around.enter(x)))


class Decoder(nn.Module):
    """A stack of blocks in which each target token sees those before it and the memory."""

    def __init__(self, blocks: list[DecoderBlock], last: nn.Module, layer_dropout: float) -> None:
        super().__init__()
        self.blocks: Sequence[DecoderBlock] = nn.ModuleList(blocks)  # type: ignore[assignment]
        self.last = last
        self.layer_dropout = LayerDropout(layer_dropout)

    def forward(self, x: Float[Tensor, "b t m"], rows: Rows, memory: Memory) -> Float[Tensor, "b t m"]:
        """One vector per target token."""
        to_past, to_memory = Attend(rows, rows, causal=True), Attend(rows, memory.rows)
        for block in self.blocks:
            x = self.layer_dropout(block, x, memory.values, to_past, to_memory)
        decoded: Tensor = self.last(x)
        return decoded

    def watched(
        self, x: Float[Tensor, "b t m"], rows: Rows, memory: Memory
    ) -> tuple[Float[Tensor, "b t m"], Float[Tensor, "b t s"]]:
        """`forward`, and how much each token looks at each one of the memory: the mean over all heads of all layers.

        Which layer aligns words best differs: Garg et al. 2019 find that it is the last but one of six; of three, it
        was the second on Multi30k and the last on Tatoeba and on the sample corpus. The mean over all of them was the
        best on Tatoeba and 0.03 of F1 behind the best on the others, where a wrong layer costs up to 0.08.
        """
        to_past, to_memory = Attend(rows, rows, causal=True), Attend(rows, memory.rows)
        weights = []
        for block in self.blocks:
            x, heads = block.watched(x, memory, to_past, to_memory)
            weights.append(heads.mean(1))
        return self.last(x), torch.stack(weights).mean(0)

    def step(
        self, x: Float[Tensor, "n 1 m"], state: TransformerState
    ) -> tuple[Float[Tensor, "n 1 m"], TransformerState]:
        """One vector per row, and the state with this token in it."""
        past: list[Past | None] = []
        for block, before, seen in zip(self.blocks, state.past, state.seen, strict=True):
            x, after = block.step(x, before, seen, state)
            past.append(after)
        return self.last(x), TransformerState(state.length + 1, state.width, past, state.seen, state.rows)


class DecoderBlock(nn.Module):
    """Causal self-attention, attention to the memory, then a feed-forward network."""

    def __init__(
        self,
        attention: MultiHeadAttention,
        cross_attention: MultiHeadAttention,
        feed_forward: FeedForward,
        residual: Callable[[], PreNorm],
    ) -> None:
        super().__init__()
        self.attention = attention
        self.cross_attention = cross_attention
        self.feed_forward = feed_forward
        self.attention_residual = residual()
        self.cross_residual = residual()
        self.feed_forward_residual = residual()

    def forward(
        self, x: Float[Tensor, "b t m"], memory: Float[Tensor, "b s m"], to_past: Attend, to_memory: Attend
    ) -> Float[Tensor, "b t m"]:
        """Mix over the past, ask the memory, then mix within each token."""
        around = self.attention_residual
        x = around.join(x, self.attention(around.enter(x), to_past))
        around = self.cross_residual
        x = around.join(x, self.cross_attention.cross(around.enter(x), memory, to_memory))
        around = self.feed_forward_residual
        return around.join(x, self.feed_forward(around.enter(x)))

    def watched(
        self, x: Float[Tensor, "b t m"], memory: Memory, to_past: Attend, to_memory: Attend
    ) -> tuple[Float[Tensor, "b t m"], Float[Tensor, "b h t s"]]:
        """`forward`, and how much each token looks at each token of the memory, head by head."""
        around = self.attention_residual
        x = around.join(x, self.attention(around.enter(x), to_past))
        around = self.cross_residual
        asking = around.enter(x)
        weights = self.cross_attention.weights(asking, memory.values, memory.rows)
        x = around.join(x, self.cross_attention.cross(asking, memory.values, to_memory))
        around = self.feed_forward_residual
        return around.join(x, self.feed_forward(around.enter(x))), weights

    def step(
        self, x: Float[Tensor, "n 1 m"], past: Past | None, seen: Past, state: TransformerState
    ) -> tuple[Float[Tensor, "n 1 m"], Past]:
        """The same for one token per row; the rows of a sentence ask its memory together."""
        around = self.attention_residual
        mixed, past = self.attention.step(around.enter(x), past, state.length)
        x = around.join(x, mixed)
        around = self.cross_residual
        asking = around.enter(x).view(-1, state.width, x.shape[-1])  # n 1 m -> b w m
        seen_by = self.cross_attention.look(asking, seen, state.rows)
        x = around.join(x, seen_by.view_as(x))
        around = self.feed_forward_residual
        return around.join(x, self.feed_forward(around.enter(x))), past
