"""Keys and values of a beam that never move: which of them a hypothesis may see is a mask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtcli.model.attention.mechanism import Past

ROOM = 16
"""Tokens for which room is made at first; it doubles when it is full."""


@dataclass(frozen=True)
class Beginning(Past):
    """The past before the first token of the `width` hypotheses of each sentence."""

    width: int

    def append(self, key: Float[Tensor, "n g 1 d"], value: Float[Tensor, "n g 1 d"]) -> Pool:
        """A pool with one token."""
        sentences, (groups, dim) = len(key) // self.width, (key.shape[1], key.shape[3])
        keys, values = (x.new_empty(sentences, groups, ROOM * self.width, dim) for x in (key, value))
        nothing = torch.empty(sentences, self.width, 0, dtype=torch.bool, device=key.device)
        return Pool(keys, values, nothing if self.width > 1 else None, self.width, 0).append(key, value)

    def select(self, rows: Int[Tensor, " r"]) -> Beginning:
        """The same, since there is nothing yet."""
        return self


@dataclass(frozen=True)
class Pool(Past):
    """All keys and values that the `w` hypotheses of each sentence ever had, token by token.

    Hypotheses that continue others are reordered at every step of beam search. To let their keys and values follow
    would copy the whole past each time; here only `seen` follows, and costs a bit for each key. Keys of hypotheses
    that were given up stay, unseen. Appending writes into the room behind the last token: a pool is spent by it.
    """

    key: Float[Tensor, "b g c d"]
    value: Float[Tensor, "b g c d"]
    seen: Bool[Tensor, "b w k"] | None
    """Which of the `k` keys so far belong to each hypothesis; None if a sentence has one only, and sees all."""
    width: int
    length: int
    """Tokens so far, of `w` keys each."""

    def append(self, key: Float[Tensor, "n g 1 d"], value: Float[Tensor, "n g 1 d"]) -> Pool:
        """The pool with one more token of each hypothesis, which that hypothesis alone may see."""
        first, last = self.length * self.width, (self.length + 1) * self.width
        keys, values = (self.roomy(x, last) for x in (self.key, self.value))
        keys[:, :, first:last] = self.by_sentence(key)
        values[:, :, first:last] = self.by_sentence(value)
        return Pool(keys, values, self.seen_with_itself(), self.width, self.length + 1)

    def roomy(self, x: Float[Tensor, "b g c d"], needed: int) -> Float[Tensor, "b g e d"]:
        """The same with room for at least as many keys as are needed."""
        if needed <= x.shape[2]:
            return x
        larger = x.new_empty(*x.shape[:2], 2 * x.shape[2], x.shape[3])
        larger[:, :, : x.shape[2]] = x
        return larger

    def by_sentence(self, x: Float[Tensor, "n g 1 d"]) -> Float[Tensor, "b g w d"]:
        """The hypotheses of each sentence beside each other."""
        return x.view(-1, self.width, x.shape[1], x.shape[3]).transpose(1, 2)

    def seen_with_itself(self) -> Bool[Tensor, "b w k"] | None:
        """What each hypothesis sees, with the token that is being added."""
        if self.seen is None:
            return None
        itself = torch.eye(self.width, dtype=torch.bool, device=self.seen.device)
        return torch.cat((self.seen, itself.expand(len(self.seen), -1, -1)), dim=-1)

    @property
    def keys(self) -> Float[Tensor, "b g k d"]:
        """The keys so far."""
        return self.key[:, :, : self.length * self.width]

    @property
    def values(self) -> Float[Tensor, "b g k d"]:
        """The values so far."""
        return self.value[:, :, : self.length * self.width]

    @property
    def offsets(self) -> Int[Tensor, "w k"]:
        """Key position minus the position of the newest token."""
        positions = torch.arange(1 - self.length, 1, device=self.key.device)
        return positions.repeat_interleave(self.width).expand(self.width, -1)

    def select(self, rows: Int[Tensor, " r"]) -> Pool:
        """The same with the old row `rows[i]` as row `i`, which has to be one of the same sentence."""
        key, value, seen = self.key, self.value, self.seen
        if seen is not None:
            seen = seen.flatten(0, 1).index_select(0, rows).view(-1, self.width, seen.shape[-1])
        if len(rows) < len(key) * self.width:
            sentences = rows[:: self.width] // self.width
            key, value = key.index_select(0, sentences), value.index_select(0, sentences)
        return Pool(key, value, seen, self.width, self.length)
