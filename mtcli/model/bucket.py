"""The decoder step of as many sentences as a bucket holds, all of whose tensors keep their shapes and their places.

Only so can a CUDA graph replay it. What changes from step to step is written into the tensors: the tokens, the time,
who sees which slot, and which sentences are still searched. Sentences that are not, and hypotheses for which there is
no sentence, compute with zeros what nobody reads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding

from mtcli.kernels.graph import Function, Record
from mtcli.model.seq2seq import Memory
from mtcli.model.slots import Seen, Slots
from mtcli.model.unrolled import Around, Unrolled

WORTH = 8
"""The step of a bucket at which it is recorded, as recording costs about as much time as so many steps: a bucket that
is hardly used is not worth it. An estimate, not measured."""


class Shape(NamedTuple):
    """What a bucket has room for."""

    sentences: int
    width: int
    """Hypotheses of each sentence."""
    slots: int
    """Places for keys and values of a sentence's hypotheses."""
    memory: int
    """Source tokens of each sentence."""
    dtype: torch.dtype
    """Of keys and values."""


class Bucket:
    """Tensors of one shape, and the step that computes in them."""

    def __init__(self, decoder: Unrolled, shape: Shape, record: Record) -> None:
        self.decoder, self.shape, self.record = decoder, shape, record
        self.searched, self.steps = 0, 0
        self.replay: Function | None = None
        layers, heads, dim = len(decoder.layers), decoder.layers[0].heads, decoder.layers[0].dim
        sentences, width, slots, memory, dtype = shape
        # Graphs are recorded outside of inference mode, where its tensors could not be written into.
        with torch.inference_mode(False), torch.no_grad():
            like = decoder.model.target.table.weight.new_zeros(0, dtype=dtype)
            self.pool = like.new_zeros(layers, 2, sentences, heads, slots, dim)
            self.keys = like.new_zeros(layers, sentences, heads, dim, memory)
            self.values = like.new_zeros(layers, sentences, heads, memory, dim)
            self.padding = like.new_zeros(sentences, heads, 1, memory)
            self.past = like.new_zeros(sentences, width, slots)
            self.tokens = torch.zeros(sentences * width, dtype=torch.long, device=like.device)
            self.places = torch.arange(sentences * width, device=like.device)
            self.time = torch.zeros(1, dtype=torch.long, device=like.device)
            self.positions = positions(decoder, slots)
            self.turns = turns(decoder, len(self.positions))
        self.slots = Slots(
            length=1,  # at 0 a step would be one of sentences, not of hypotheses
            width=width,
            pools=list(self.pool),
            past=self.past,
            seen=[Seen(k.flatten(0, 1), v.flatten(0, 1)) for k, v in zip(self.keys, self.values, strict=True)],
            padding=self.padding.flatten(0, 1),
        )

    @property
    def bytes(self) -> int:
        """What it takes, its logits in two precisions included, which are most of what a graph keeps."""
        logits = len(self.tokens) * self.decoder.output.out_features * self.positions.element_size()
        return 2 * logits + sum(x.nbytes for x in (self.pool, self.keys, self.values, self.padding, self.past))

    def clear(self) -> None:
        """Forget the last search: zeros, as what nobody may see must be finite."""
        for tensor in (self.pool, self.keys, self.values, self.padding, self.time):
            tensor.zero_()
        self.past.fill_(-torch.inf)
        torch.arange(len(self.places), out=self.places)

    def load(self, memory: Memory) -> None:
        """Begin a search with the keys and values of a memory."""
        self.clear()
        self.searched, longest = memory.values.shape[:2]
        for layer, keys, values in zip(self.decoder.layers, self.keys, self.values, strict=True):
            key, value = layer.remember(memory.values, self.shape.dtype)
            size = key.shape[-1]
            keys[: self.searched, :, :, :size] = key.view(-1, *keys.shape[1:3], size)
            values[: self.searched, :, :size] = value.view(-1, values.shape[1], size, values.shape[3])
        padding = self.padding[: self.searched].fill_(-torch.inf)
        padding[..., :longest].masked_fill_(memory.rows.valid[:, None, None], 0)

    def move(self, other: Bucket) -> None:
        """Let the sentences that are searched go on in another bucket, where they are the first."""
        other.clear()
        other.searched, width, slots = self.searched, self.shape.width, self.shape.slots
        kept = self.places[: self.searched * width : width] // width
        for old, new in zip(self.pool, other.pool, strict=True):  # layer by layer, as each is copied twice
            new[:, : self.searched, :, :slots] = old.index_select(1, kept)
        for olds, news in ((self.keys, other.keys), (self.values, other.values)):
            for old, new in zip(olds, news, strict=True):
                new[: self.searched] = old.index_select(0, kept)
        other.padding[: self.searched] = self.padding.index_select(0, kept)
        other.past[: self.searched, :, :slots] = self.past.index_select(0, kept)
        other.time.copy_(self.time)

    def room(self) -> int:
        """How many steps will find an empty slot for each hypothesis; waits for the device."""
        return int((self.past.amax(1) < 0).sum(-1).min()) // self.shape.width

    def select(self, rows: Int[Tensor, " r"]) -> None:
        """Let row `i` continue the old row `rows[i]`, one of the same sentence's; the other sentences have ended."""
        width, past = self.shape.width, self.past.flatten(0, 1)
        continued = past.index_select(0, self.places.index_select(0, rows))
        if len(rows) < self.searched * width:
            self.put_first(rows[::width] // width)
        if width > 1:  # single hypotheses all have the same past, and that of the first is everybody's mask
            past.fill_(-torch.inf).index_copy_(0, self.places[: len(rows)], continued)

    def put_first(self, kept: Int[Tensor, " k"]) -> None:
        """Search only these sentences from now on."""
        self.searched, all_of = len(kept), self.shape.sentences
        rank = torch.full((all_of,), all_of, device=kept.device)
        rank.index_copy_(0, kept, torch.arange(len(kept), device=kept.device))
        places = self.places.view(all_of, -1)
        places.copy_(places.index_select(0, rank.argsort()))

    def __call__(self, tokens: Int[Tensor, " n"]) -> Float[Tensor, "n v"]:
        """Feed a token to each hypothesis of the sentences that are searched; the logits hold until the next step."""
        self.tokens[: len(tokens)] = tokens
        self.steps += 1
        if self.steps == WORTH:
            logits, self.replay = self.record(self.step)
        else:
            logits = self.replay() if self.replay else self.step()
        return logits[: len(tokens)]

    def step(self) -> Float[Tensor, "n v"]:
        """What is replayed; the device needs to know nothing that the tensors do not say."""
        decoder, table = self.decoder, self.decoder.model.target.table
        tokens = torch.empty_like(self.tokens).index_copy_(0, self.places, self.tokens)
        x = embedding(tokens, table.weight).mul_(table.embedding_dim**0.5)
        x = x + self.positions.index_select(0, self.time)
        slots = self.taken()
        places, mask = self.slots.places_of(slots), self.slots.mask()
        turn = None if self.turns is None else self.turns.index_select(0, self.time)
        for layer, pool, seen in zip(decoder.layers, self.slots.pools, self.slots.seen, strict=True):
            x = layer.step(x, Around(self.slots, pool, places, mask, seen, turn))
        self.time.add_(1)
        return decoder.output.forward(decoder.last(x.index_select(0, self.places)))

    def taken(self) -> Int[Tensor, "b w"]:
        """An empty slot for each hypothesis, which it may see from now on: the first ones of each sentence."""
        sentences, width, _ = self.past.shape
        empty = (self.past.amax(1) < 0).cumsum(-1)
        wanted = torch.arange(1, width + 1, device=empty.device).repeat(sentences, 1)
        slots = torch.searchsorted(empty, wanted)
        self.past.scatter_(2, slots[:, :, None], 0.0)
        return slots


def positions(decoder: Unrolled, slots: int) -> Float[Tensor, "t m"]:
    """What each position adds to an embedding; there are no more than slots, as a token takes one at least."""
    target = decoder.model.target
    length = min(slots, decoder.longest_target or slots)
    return target.position.embed(target.table.weight.new_zeros(1, length, target.table.embedding_dim), 0)[0]


def turns(decoder: Unrolled, length: int) -> Float[Tensor, "t i 2"] | None:
    """By which angles queries and keys turn; of its own, as the model's table is replaced when it grows."""
    table = decoder.turn(0, length)
    return None if table is None else table.clone()
