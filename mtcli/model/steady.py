"""Decoding in buckets: a search stays in tensors of one shape as long as it can, so that steps can be replayed."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtcli.kernels.graph import Record, recorder
from mtcli.layout import Batch, Rows
from mtcli.model.bucket import Bucket, Shape
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.model.unrolled import Unrolled

SLOTS, MEMORY = 64, 32
"""The fewest of a bucket: most sentences need no more."""
FEW = 64
"""Hypotheses of a bucket that no search leaves for a smaller one: a step of fewer reads the same matrices."""
SHARE = 4
"""Buckets are kept until they fill this part of a GPU's memory; the rest is for the model, encoder and beam."""


class Steady(Seq2Seq["Search"]):
    """The same predictions as the unrolled model that it is made of; the logits of a step hold until the next."""

    def __init__(self, decoder: Unrolled, record: Record, most: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.output = decoder.output
        self.longest_source, self.longest_target = decoder.longest_source, decoder.longest_target
        self.buckets = Buckets(decoder, record, most)

    def encode(self, source: Int[Tensor, "b s"], rows: Rows) -> Memory:
        """Read the source, all of it at once."""
        return self.decoder.model.encode(source, rows)

    def readout(self, batch: Batch) -> Float[Tensor, "b t m"]:
        """The vectors from which `output` predicts each target token, given all target tokens before it."""
        return self.decoder.readout(batch)

    @property
    def supports_attention(self) -> bool:
        """Whether the cross-attention has weights."""
        return self.decoder.supports_attention

    def attention(self, batch: Batch) -> Float[Tensor, "b t s"]:
        """How much the prediction of each target token looks at each source token."""
        return self.decoder.attention(batch)

    def start(self, memory: Memory, width: int = 1) -> Search:
        """The state before the first step, which the steps change."""
        return Search(self.buckets, memory, width, self.decoder.remembered or memory.values.dtype)

    def step(self, tokens: Int[Tensor, " n"], state: Search) -> tuple[Float[Tensor, "n v"], Search]:
        """Feed one token to each row; return the logits of the next tokens and the state after it."""
        return state.step(tokens), state

    def select(self, state: Search, rows: Int[Tensor, " n"]) -> Search:
        """The state whose row `i` continues the old row `rows[i]`, one of the same sentence's."""
        state.select(rows)
        return state


class Search:
    """The state of one search: the bucket that it is in, and when it has to leave it."""

    def __init__(self, buckets: Buckets, memory: Memory, width: int, dtype: torch.dtype) -> None:
        sentences, longest = memory.values.shape[:2]
        slots, longest = power(max(SLOTS, 4 * width)), power(max(MEMORY, longest))
        self.buckets = buckets
        self.bucket = buckets.take(Shape(power(sentences), width, slots, longest, dtype), self)
        self.bucket.load(memory)
        self.length, self.room = 0, slots // width
        """Tokens of each hypothesis so far; steps for which there surely are slots."""

    def step(self, tokens: Int[Tensor, " n"]) -> Float[Tensor, "n v"]:
        """The logits after one more token of each hypothesis."""
        if self.room == 0:
            self.find_room()
        assert self.length < len(self.bucket.positions)
        self.room, self.length = self.room - 1, self.length + 1
        return self.bucket(tokens)

    def find_room(self) -> None:
        """Count empty slots, which waits for the device; if there are too few, go where there are twice as many."""
        self.room = self.bucket.room()
        if self.room == 0:
            self.move(self.bucket.shape._replace(slots=2 * self.bucket.shape.slots))
            self.room = self.bucket.room()

    def select(self, rows: Int[Tensor, " r"]) -> None:
        """Go on with these rows; if the bucket is half empty then, in a smaller one."""
        self.bucket.select(rows)
        shape = self.bucket.shape
        sentences = power(self.bucket.searched)
        if sentences < shape.sentences and shape.sentences * shape.width > FEW:
            self.move(shape._replace(sentences=sentences))

    def move(self, shape: Shape) -> None:
        """Go into a bucket of this shape."""
        old, self.bucket = self.bucket, self.buckets.take(shape, self)
        old.move(self.bucket)


class Buckets:
    """The buckets used last, as many as `most` bytes hold, or one: similar batches find theirs recorded."""

    def __init__(self, decoder: Unrolled, record: Record, most: int) -> None:
        self.decoder, self.record, self.most = decoder, record, most
        self.kept: list[Bucket] = []
        self.taken: WeakKeyDictionary[Search, Bucket] = WeakKeyDictionary()

    def take(self, shape: Shape, search: Search) -> Bucket:
        """A bucket of this shape in which no other search is, for this one to be in instead of where it was."""
        taken = set(self.taken.values())
        free = [bucket for bucket in self.kept if bucket.shape == shape and bucket not in taken]
        bucket = free[-1] if free else Bucket(self.decoder, shape, self.record)
        self.taken[search] = bucket
        self.kept = [*(other for other in self.kept if other is not bucket), bucket]
        while len(self.kept) > 1 and sum(each.bytes for each in self.kept) > self.most:
            del self.kept[0]
        return bucket


def power(number: int) -> int:
    """The smallest power of two that is not smaller: so few buckets serve all batches."""
    return 1 << (number - 1).bit_length()


def steady(model: Seq2Seq[Any], device: torch.device) -> Seq2Seq[Any]:
    """An unrolled model on CUDA with steps that are replayed; others as they are."""
    if device.type != "cuda" or not isinstance(model, Unrolled):
        return model
    memory = torch.cuda.get_device_properties(device).total_memory
    return Steady(model, recorder(device), memory // SHARE)
