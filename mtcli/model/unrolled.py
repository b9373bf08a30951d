"""A Transformer's decoder step as one flat function, for decoding: no layers of calls, and a beam that does not move.

Hypotheses that continue others change places at every step of beam search. To let their keys and values follow would
copy the whole past each time. Here each stays in the slot where it was written, and a mask says who may see it; when
nobody may any more, another takes its slot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from mtcli.layout import Batch, Rows
from mtcli.model.attention.full import FullAttention
from mtcli.model.residual import PostNorm, PreNorm
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.model.transformer import DecoderBlock, Transformer

TOKENS = 512
"""Source tokens that are read at once: what is in the processor's cache is computed faster."""
ROOM = 16
"""Slots are made, and memories padded, by this many: products and softmax of others are several times slower."""

Map = Callable[[Tensor], Tensor]
"""From a vector for each row to another."""


class Seen(NamedTuple):
    """Keys and values of the memory for one layer, laid out for products."""

    keys: Float[Tensor, "bh d s"]
    values: Float[Tensor, "bh s d"]


@dataclass(frozen=True)
class UnrolledState:
    """What the decoder remembers of `b` sentences with `w` hypotheses each; the next step writes into it."""

    length: int
    width: int
    pools: list[Float[Tensor, "2 b h c d"]]
    """The keys and values of each layer, in `c` slots."""
    past: Float[Tensor, "b w c"]
    """0 where a hypothesis may see a slot, and minus infinity where the slot is empty or belongs to others."""
    seen: list[Seen]
    padding: Float[Tensor, "bh 1 s"]
    """0 where the memory has a token, and minus infinity where it has padding."""
    places: Int[Tensor, " n"] | None
    """Which of the `b w` hypotheses the rows are; None: all. Sentences that have ended may stay for a while."""


class Unrolled(Seq2Seq[UnrolledState]):
    """The same predictions as the Transformer that it is made of, with whose matrices it computes."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model
        self.output = model.output
        self.longest_source, self.longest_target = model.longest_source, model.longest_target
        self.layers = [Layer(block) for block in model.decoder.blocks]
        self.last = mapping(model.decoder.last)
        self.heads = self.layers[0].heads

    def encode(self, source: Int[Tensor, "b s"], rows: Rows) -> Memory:
        """Read the source."""
        size = max(1, TOKENS // source.shape[1])
        parts = zip(torch.split(source, size), torch.split(rows.lengths, size), strict=True)
        read = [self.model.encode(tokens, Rows(lengths, rows.width)).values for tokens, lengths in parts]
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

    def start(self, memory: Memory, width: int = 1) -> UnrolledState:
        """The state before the first step; the memory's keys and values are computed once per sentence and layer."""
        (sentences, longest), slots, like = memory.values.shape[:2], rounded(width), memory.values
        padding = like.new_zeros(sentences, 1, longest).masked_fill_(~memory.rows.valid[:, None], -torch.inf)
        padding = pad(padding, (0, rounded(longest) - longest), value=-torch.inf)
        return UnrolledState(
            length=0,
            width=width,
            pools=[like.new_zeros(2, sentences, self.heads, slots, layer.dim) for layer in self.layers],
            past=like.new_full((sentences, width, slots), -torch.inf),
            seen=[layer.remember(memory.values) for layer in self.layers],
            padding=padding.repeat_interleave(self.heads, 0),
            places=None,
        )

    def step(self, tokens: Int[Tensor, " n"], state: UnrolledState) -> tuple[Float[Tensor, "n v"], UnrolledState]:
        """Feed one token to each row; return the logits of the next tokens and the state after it."""
        table = self.model.target.table
        x = embedding(tokens, table.weight).mul_(table.embedding_dim**0.5)
        x = self.model.target.position.embed(x[:, None], state.length)[:, 0]
        state, free, mask = with_room(state)
        free = places_in_pool(free, state.pools[0])
        for layer, pool, seen in zip(self.layers, state.pools, state.seen, strict=True):
            x = layer.step(x, Step(state, pool, free, mask, seen))
        return self.output.forward(self.last(x)), replace(state, length=state.length + 1)

    def select(self, state: UnrolledState, rows: Int[Tensor, " n"]) -> UnrolledState:
        """The state whose row `i` continues the old row `rows[i]`, one of the same sentence's."""
        width = state.width
        places = rows if state.places is None else state.places.index_select(0, rows)
        past = state.past.flatten(0, 1).index_select(0, places).view(-1, width, state.past.shape[-1])
        if len(past) == len(state.past):
            return replace(state, past=past, places=None)
        kept = places[::width] // width
        if 2 * len(kept) > len(state.past):
            # To copy what is left costs more than to compute what is not needed.
            among = (kept[:, None] * width + torch.arange(width, device=kept.device)).flatten()
            past = torch.full_like(state.past, -torch.inf).index_copy_(0, kept, past)
            return replace(state, past=past, places=among)
        of_heads = (kept[:, None] * self.heads + torch.arange(self.heads, device=kept.device)).flatten()
        return replace(
            state,
            pools=[pool.index_select(1, kept) for pool in state.pools],
            past=past,
            seen=[Seen(*(x.index_select(0, of_heads) for x in seen)) for seen in state.seen],
            padding=state.padding.index_select(0, of_heads),
            places=None,
        )


def with_room(
    state: UnrolledState,
) -> tuple[UnrolledState, Int[Tensor, "b w"], Float[Tensor, "#bh w c"]]:
    """The state with an empty slot for the next token of each hypothesis, these slots, and what each may see."""
    width, slots = state.width, state.past.shape[-1]
    if width == 1:
        if state.length == slots:
            state = roomier(state)
        state.past[:, :, state.length] = 0
        free = torch.full((len(state.past), 1), state.length, device=state.past.device)
        # All that go on see the same; those that have ended may see less.
        return state, free, state.past.amax(0, keepdim=True)
    empty = state.past.amax(1) < 0
    if int(empty.sum(-1).min()) < width:
        return with_room(roomier(state))
    free = torch.where(empty, torch.arange(slots, 0, -1, device=empty.device), 0).topk(width).indices
    itself = torch.eye(width, dtype=torch.bool, device=free.device).expand(len(free), -1, -1)
    own = torch.zeros_like(state.past, dtype=torch.bool).scatter_(2, free[:, None].expand(-1, width, -1), itself)
    past = state.past.masked_fill(own, 0)
    heads = state.pools[0].shape[2]
    mask = past[:, None].expand(-1, heads, -1, -1).reshape(-1, width, slots)
    return replace(state, past=past), free, mask


def places_in_pool(slots: Int[Tensor, "b w"], pool: Float[Tensor, "2 b h c d"]) -> Int[Tensor, " bw2h"]:
    """Where the keys and values of tokens with these slots are in a pool seen as a list of rows."""
    _, sentences, heads, size, _ = pool.shape
    of_heads = torch.arange(2 * sentences * heads, device=slots.device).view(2, sentences, heads).transpose(0, 1)
    return (of_heads[:, None] * size + slots[:, :, None, None]).flatten()


def roomier(state: UnrolledState) -> UnrolledState:
    """The same with more slots."""
    past = pad(state.past, (0, ROOM), value=-torch.inf)
    return replace(state, past=past, pools=[pad(pool, (0, 0, 0, ROOM)) for pool in state.pools])


def rounded(slots: int) -> int:
    """At least so many slots."""
    return -(-slots // ROOM) * ROOM


class Step(NamedTuple):
    """What a layer is given beside its input."""

    state: UnrolledState
    pool: Float[Tensor, "2 b h c d"]
    free: Int[Tensor, " bw2h"]
    """The places in the pool, row by row, for each token's key and value."""
    mask: Float[Tensor, "#bh w c"]
    seen: Seen


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

    def remember(self, memory: Float[Tensor, "b s m"]) -> Seen:
        """What queries will need of a memory, computed once."""
        longest = memory.shape[1]
        key, value = (pad(x, (0, 0, 0, rounded(longest) - longest)).flatten(0, 1) for x in self.cross.answer(memory))
        return Seen(key.transpose(1, 2).contiguous(), value.contiguous())

    def step(self, x: Float[Tensor, "n m"], step: Step) -> Float[Tensor, "n m"]:
        """Self-attention, attention to the memory, then the feed-forward network, for one token of each row."""
        state, seen = step.state, step.seen
        projected = among_all(self.project(self.enter(x)), state)
        x = self.leave(x + self.merge(among_rows(self.look_back(projected, step), state)))
        query = among_all(self.cross.project.part(self.enter_cross(x), 0, self.size), state)
        mixed = self.mix(query, state.width, seen.keys, seen.values, state.padding)
        x = self.leave_cross(x + self.cross_merge(among_rows(mixed, state)))
        return self.leave_feed_forward(x + self.narrow(self.bend(self.widen(self.enter_feed_forward(x)))))

    def look_back(self, projected: Float[Tensor, "n p"], step: Step) -> Float[Tensor, "n m"]:
        """Put each row's key and value into their slots, and mix what it may see."""
        step.pool.view(-1, self.dim).index_copy_(0, step.free, projected[:, self.size :].reshape(-1, self.dim))
        keys, values = step.pool.flatten(1, 2)
        return self.mix(projected[:, : self.size], step.state.width, keys.transpose(1, 2), values, step.mask)

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
        logits = torch.baddbmm(mask, query, keys, alpha=self.scale)
        mixed = torch.bmm(torch.softmax(logits, -1), values)
        return mixed.view(-1, self.heads, width, self.dim).transpose(1, 2).reshape(-1, self.size)


def among_all(x: Float[Tensor, "n p"], state: UnrolledState) -> Float[Tensor, "bw p"]:
    """The rows in their places among all hypotheses, also those that have ended, of which nothing is known."""
    if state.places is None:
        return x
    return x.new_zeros(len(state.past) * state.width, x.shape[1]).index_copy_(0, state.places, x)


def among_rows(x: Float[Tensor, "bw p"], state: UnrolledState) -> Float[Tensor, "n p"]:
    """What of all hypotheses belongs to the rows."""
    return x if state.places is None else x.index_select(0, state.places)


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


def unrolled(model: Seq2Seq[Any]) -> Seq2Seq[Any]:
    """The model with its decoder unrolled, or as it is if that is of a kind that cannot be."""
    return Unrolled(model) if isinstance(model, Transformer) and all(map(plain, model.decoder.blocks)) else model


def plain(block: DecoderBlock) -> bool:
    """Whether both attentions are full, with as many heads for keys as for queries, and positions have no say."""
    position = block.attention.position
    quiet = not (position.rotates or position.changes_logits or position.changes_values)
    return quiet and all(
        isinstance(attention.mechanism, FullAttention)
        and len(set(attention.sizes)) == 1
        and isinstance(attention.query_norm, nn.Identity)
        for attention in (block.attention, block.cross_attention)
    )
