"""A Transformer's decoder step as one flat function, for decoding: without the calls of one module by another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from mtcli.kernels.rotation import turned
from mtcli.layout import PAD, Batch, Rows
from mtcli.model.attention.full import FullAttention
from mtcli.model.residual import PostNorm, PreNorm
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.model.slots import Seen, Slots, rounded
from mtcli.model.transformer import DecoderBlock, Transformer

TOKENS = 512
"""Source tokens that are read at once: what is in the processor's cache is computed faster."""

Map = Callable[[Tensor], Tensor]
"""From a vector for each row to another."""


class Unrolled(Seq2Seq[Slots]):
    """The same predictions as the Transformer that it is made of, with whose matrices it computes.

    Keys and values of several hypotheses are remembered in the precision `remembered`, None being that of the model;
    their first token is the same.
    """

    def __init__(self, model: Transformer, remembered: torch.dtype | None) -> None:
        super().__init__()
        self.model = model
        self.remembered = remembered
        self.output = model.output
        self.longest_source, self.longest_target = model.longest_source, model.longest_target
        self.layers = [Layer(block) for block in model.decoder.blocks]
        self.last = mapping(model.decoder.last)

    def encode(self, source: Int[Tensor, "b s"], rows: Rows) -> Memory:
        """Read the source, padded to a size whose attention is the same in every batch, bit by bit."""
        width = min(rounded(rows.width), self.longest_source or rounded(rows.width))
        source, rows = pad(source, (0, width - rows.width), value=PAD), Rows(rows.lengths, width)
        size = max(1, TOKENS // width)
        parts = zip(torch.split(source, size), torch.split(rows.lengths, size), strict=True)
        read = [self.model.encode(tokens, Rows(lengths, width)).values for tokens, lengths in parts]
        return Memory(torch.cat(read), rows)

    def readout(self, batch: Batch) -> Float[Tensor, "b t m"]:
        """The vectors from which `output` predicts each target token, given all target tokens before it."""
        return self.model.readout(batch)

    @property
    def supports_attention(self) -> bool:
        """Whether the cross-attention has weights."""
        return self.model.supports_attention

    def attention(self, batch: Batch) -> Float[Tensor, "b t s"]:
        """How much the prediction of each target token looks at each source token."""
        return self.model.attention(batch)

    def start(self, memory: Memory, width: int = 1) -> Slots:
        """The state before the first step; the memory's keys and values are computed once per sentence and layer."""
        (sentences, longest), slots, heads = memory.values.shape[:2], rounded(width), self.layers[0].heads
        like = memory.values if width == 1 else memory.values.to(self.remembered or memory.values.dtype)
        padding = like.new_zeros(sentences, 1, longest).masked_fill_(~memory.rows.valid[:, None], -torch.inf)
        padding = pad(padding, (0, rounded(longest) - longest), value=-torch.inf)
        return Slots(
            length=0,
            width=width,
            pools=[like.new_zeros(2, sentences, heads, slots, layer.dim) for layer in self.layers],
            past=like.new_full((sentences, width, slots), -torch.inf),
            seen=[layer.remember(memory.values, like.dtype) for layer in self.layers],
            padding=padding.repeat_interleave(heads, 0),
        )

    def step(self, tokens: Int[Tensor, " n"], state: Slots) -> tuple[Float[Tensor, "n v"], Slots]:
        """Feed one token to each row; return the logits of the next tokens and the state after it."""
        each = state.width if state.length == 0 else 1
        table = self.model.target.table
        x = embedding(tokens[::each], table.weight).mul_(table.embedding_dim**0.5)
        x = self.model.target.position.embed(x[:, None], state.length)[:, 0]
        state, slots = state.with_room()
        mask, places, turn = state.mask(), state.places_of(slots), self.turn(state.length, 1)
        for layer, pool, seen in zip(self.layers, state.pools, state.seen, strict=True):
            x = layer.step(x, Around(state, pool, places, mask, seen, turn))
        logits = self.output.forward(self.last(x))
        return logits if each == 1 else logits.repeat_interleave(each, 0), replace(state, length=state.length + 1)

    def turn(self, where: int, count: int) -> Float[Tensor, "t i 2"] | None:
        """By which angles queries and keys turn at these positions; None: not at all."""
        position = self.model.decoder.blocks[0].attention.position
        return position.turn(where, count) if position.rotates else None

    def select(self, state: Slots, rows: Int[Tensor, " n"]) -> Slots:
        """The state whose row `i` continues the old row `rows[i]`, one of the same sentence's."""
        return state.select(rows)


class Around(NamedTuple):
    """What a layer is given beside its input."""

    state: Slots
    pool: Float[Tensor, "2 b h c d"]
    places: Int[Tensor, " bw2h"]
    """Where in the pool the keys and values of this step go."""
    mask: Float[Tensor, "#bh w c"]
    seen: Seen
    turn: Float[Tensor, "1 i 2"] | None
    """By which angles queries and keys turn at this step."""


class Layer:
    """One block of the decoder, its functions and sizes at hand."""

    def __init__(self, block: DecoderBlock) -> None:
        attention, cross = block.attention, block.cross_attention
        self.size, self.dim = attention.sizes[0], attention.head_dim
        self.heads, self.scale = self.size // self.dim, self.dim**-0.5
        self.project, self.merge = attention.project.forward, attention.merge.forward
        self.cross, self.cross_merge = cross, cross.merge.forward
        self.widen, self.narrow = block.feed_forward.widen.forward, block.feed_forward.narrow.forward
        self.bend = block.feed_forward.bend
        self.enter, self.leave = around(block.attention_residual)
        self.enter_cross, self.leave_cross = around(block.cross_residual)
        self.enter_feed_forward, self.leave_feed_forward = around(block.feed_forward_residual)

    def remember(self, memory: Float[Tensor, "b s m"], dtype: torch.dtype) -> Seen:
        """What queries will need of a memory, computed once."""
        (sentences, longest, _), (key, value) = memory.shape, self.cross.answer(memory)
        keys = memory.new_zeros(sentences, self.heads, self.dim, rounded(longest), dtype=dtype)
        values = torch.zeros_like(keys).transpose(2, 3).contiguous()
        keys[:, :, :, :longest], values[:, :, :longest] = key.transpose(2, 3), value
        return Seen(keys.flatten(0, 1), values.flatten(0, 1))

    def step(self, x: Float[Tensor, "n m"], given: Around) -> Float[Tensor, "n m"]:
        """Self-attention, attention to the memory, then the feed-forward network, for one token of each row."""
        state, seen = given.state, given.seen
        projected = state.among_all(self.project(self.enter(x)))
        x = self.leave(x + self.merge(state.among_rows(self.look_back(projected, given))))
        query = state.among_all(self.cross.project.part(self.enter_cross(x), 0, self.size))
        mixed = self.mix(query, state.width, seen.keys, seen.values, state.padding)
        x = self.leave_cross(x + self.cross_merge(state.among_rows(mixed)))
        return self.leave_feed_forward(x + self.narrow(self.bend(self.widen(self.enter_feed_forward(x)))))

    def look_back(self, projected: Float[Tensor, "n p"], given: Around) -> Float[Tensor, "n m"]:
        """Put each row's key and value into the pool, and mix what it may see there."""
        if given.turn is not None:
            both = projected[:, : 2 * self.size].view(-1, 2 * self.heads, 1, self.dim)
            projected = torch.cat((turned(both, given.turn).flatten(1), projected[:, 2 * self.size :]), 1)
        both = projected[:, self.size :].to(given.pool.dtype).reshape(-1, self.dim)
        given.pool.view(-1, self.dim).index_copy_(0, given.places, both)
        keys, values = given.pool.flatten(1, 2)
        return self.mix(projected[:, : self.size], given.state.width, keys.transpose(1, 2), values, given.mask)

    def mix(
        self,
        query: Float[Tensor, "n m"],
        width: int,
        keys: Float[Tensor, "bh d k"],
        values: Float[Tensor, "bh k d"],
        mask: Float[Tensor, "#bh #w k"],
    ) -> Float[Tensor, "n m"]:
        """Softmax attention for all rows, those of a sentence together."""
        query = (
            query.view(-1, width, self.heads, self.dim).transpose(1, 2).reshape(-1, width, self.dim)
        )  # n m -> bh w d
        logits = torch.baddbmm(mask, query.to(keys.dtype), keys, alpha=self.scale)
        # A softmax in bf16 would lose weights whose logits differ by less than 1/128.
        weights = torch.softmax(logits, -1, dtype=query.dtype).to(values.dtype)
        mixed = torch.bmm(weights, values).view(-1, self.heads, width, self.dim)
        return mixed.transpose(1, 2).reshape(-1, self.size).to(query.dtype)


def around(residual: PreNorm) -> tuple[Map, Map]:
    """What happens before a branch, and after its output was added."""
    norm = mapping(residual.norm)
    return (unchanged, norm) if isinstance(residual, PostNorm) else (norm, unchanged)


def mapping(norm: nn.Module) -> Map:
    """What a norm computes, without the calls around it."""
    if type(norm) is not nn.LayerNorm:
        return norm.forward
    shape, weight, bias, eps = norm.normalized_shape, norm.weight, norm.bias, norm.eps
    return lambda x: torch.layer_norm(x, shape, weight, bias, eps)


def unchanged(x: Tensor) -> Tensor:
    """The argument."""
    return x


def unrolled(model: Seq2Seq[Any], remembered: torch.dtype | None = None) -> Seq2Seq[Any]:
    """The model with its decoder unrolled, or as it is if that is of a kind that cannot be."""
    if isinstance(model, Transformer) and all(map(plain, model.decoder.blocks)):
        return Unrolled(model, remembered)
    return model


def plain(block: DecoderBlock) -> bool:
    """Whether both attentions are full, with as many heads for keys as for queries; positions may only turn them."""
    position = block.attention.position
    quiet = not (position.changes_logits or position.changes_values)
    return quiet and all(
        isinstance(attention.mechanism, FullAttention)
        and len(set(attention.sizes)) == 1
        and isinstance(attention.query_norm, nn.Identity)
        for attention in (block.attention, block.cross_attention)
    )
