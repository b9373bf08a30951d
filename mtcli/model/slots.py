"""What an unrolled decoder remembers: keys and values in slots, where they stay, and masks that say who sees them.

Hypotheses that continue others change places at every step of beam search. To let their keys and values follow would
copy the whole past each time. Here each stays in the slot where it was written; when no hypothesis can see it any
more, another takes its slot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

ROOM = 16
"""Slots are made, and memories padded, by this many: products and softmax of others are several times slower."""


class Seen(NamedTuple):
    """Keys and values of the memory for one layer, laid out for products."""

    keys: Float[Tensor, "bh d s"]
    values: Float[Tensor, "bh s d"]


@dataclass(frozen=True)
class Slots:
    """The state of `b` sentences with `w` hypotheses each; the next step writes into it."""

    width: int
    lengths: Int[Tensor, " b"]
    """Tokens of each sentence's hypotheses so far."""
    pools: list[Float[Tensor, "2 b h c d"]]
    """The keys and values of each layer, in `c` slots."""
    past: Float[Tensor, "b w c"]
    """0 where a hypothesis may see a slot, and minus infinity where the slot is empty or belongs to others."""
    seen: list[Seen]
    padding: Float[Tensor, "bh 1 s"]
    """0 where the memory has a token, and minus infinity where it has padding."""
    begun: bool = False
    """Whether there is a token; the first is the same for all hypotheses of a sentence, and has one row for all."""
    places: Int[Tensor, " n"] | None = None
    """Which of the `b w` hypotheses the rows are; None: all, in order. Sentences that have ended stay for a while."""

    @property
    def heads(self) -> int:
        """Of each layer."""
        return self.pools[0].shape[2]

    @property
    def live(self) -> Int[Tensor, " l"]:
        """The sentences that have not ended, in the order of their rows."""
        if self.places is None:
            return torch.arange(len(self.past), device=self.past.device)
        return self.places[:: self.width] // self.width

    @property
    def live_rows(self) -> Int[Tensor, " n"]:
        """Which of the `b w` hypotheses the rows are."""
        if self.places is None:
            return torch.arange(len(self.past) * self.width, device=self.past.device)
        return self.places

    @property
    def positions(self) -> Int[Tensor, " n"]:
        """Where the next token of each row stands."""
        lengths = self.lengths if self.places is None else self.lengths[self.live]
        return lengths if self.width == 1 or not self.begun else lengths.repeat_interleave(self.width)

    def with_room(self) -> tuple[Slots, Int[Tensor, "b w"]]:
        """The state with a slot for the next token of each hypothesis, which that alone may see, and these slots."""
        (sentences, width, slots), device = self.past.shape, self.past.device
        if width == 1:
            if int(self.lengths.max()) == slots:
                return self.roomier().with_room()
            free = self.lengths[:, None]
        else:
            empty = self.past.amax(1) < 0
            if int(empty.sum(-1).min()) < width:
                return self.roomier().with_room()
            free = torch.where(empty, torch.arange(slots, 0, -1, device=device), 0).topk(width).indices
        hypotheses = torch.arange(sentences * width, device=device)
        self.past.view(-1).index_fill_(0, hypotheses * slots + free.flatten(), 0)
        return self, free

    def longer(self) -> Slots:
        """The state after a token of each row."""
        if self.places is None:
            return replace(self, begun=True, lengths=self.lengths + 1)
        one = torch.ones_like(self.live)
        return replace(self, begun=True, lengths=self.lengths.index_add(0, self.live, one))

    def roomier(self, more: int = ROOM) -> Slots:
        """The same with more slots."""
        past = pad(self.past, (0, more), value=-torch.inf)
        return replace(self, past=past, pools=[pad(pool, (0, 0, 0, more)) for pool in self.pools])

    def mask(self) -> Float[Tensor, "bh w c"]:
        """Whose past each slot is, for each head."""
        return self.past[:, None].expand(-1, self.heads, -1, -1).reshape(-1, *self.past.shape[1:])

    def places_of(self, slots: Int[Tensor, "b w"]) -> Int[Tensor, " bw2h"]:
        """Where the keys and values of tokens in these slots are in a pool seen as a list of vectors."""
        sentences, _, size = self.past.shape
        first = torch.arange(2 * sentences * self.heads, device=slots.device) * size
        first = first.view(2, sentences, 1, self.heads).permute(1, 2, 0, 3)  # b 1 2 h
        return (first + slots[:, :, None, None]).flatten()

    def among_all(self, x: Float[Tensor, "n p"]) -> Float[Tensor, "bw p"]:
        """Rows in their places among all hypotheses, also those that have ended, of which nothing is known."""
        if not self.begun:
            return x.repeat_interleave(self.width, 0)
        if self.places is None:
            return x
        return x.new_zeros(len(self.past) * self.width, x.shape[1]).index_copy_(0, self.places, x)

    def among_rows(self, x: Float[Tensor, "bw p"]) -> Float[Tensor, "n p"]:
        """What of all hypotheses belongs to the rows."""
        if not self.begun:
            return x[:: self.width]
        return x if self.places is None else x.index_select(0, self.places)

    def select(self, rows: Int[Tensor, " r"]) -> Slots:
        """The state whose row `i` continues the old row `rows[i]`, one of the same sentence's.

        Sentences without rows have ended. They stay, with a past in which nothing is seen: to copy what is left of
        all would cost more than to compute what is not needed, as long as it is not the most.
        """
        places = rows if self.places is None else self.places.index_select(0, rows)
        past = self.past.flatten(0, 1).index_select(0, places).view(-1, *self.past.shape[1:])
        if self.places is None and len(past) == len(self.past):
            return replace(self, past=past)
        live = places[:: self.width] // self.width
        among = live[:, None] * self.width + torch.arange(self.width, device=live.device)
        past = torch.full_like(self.past, -torch.inf).index_copy_(0, live, past)
        return replace(self, past=past, places=among.flatten())

    def join(self, newcomers: Slots) -> Slots:
        """The state with further sentences in the places of those that have ended, of which there must be enough."""
        ended = torch.ones(len(self.past), dtype=torch.bool, device=self.past.device).index_fill_(0, self.live, False)
        taken = ended.nonzero().flatten()[: len(newcomers.past)]
        state, newcomers = self.as_large_as(newcomers), newcomers.as_large_as(self)
        heads = (taken[:, None] * self.heads + torch.arange(self.heads, device=taken.device)).flatten()
        rows = (taken[newcomers.live, None] * self.width + torch.arange(self.width, device=taken.device)).flatten()
        for pool, new in zip(state.pools, newcomers.pools, strict=True):
            pool.index_copy_(1, taken, new)
        for (keys, values), (new_keys, new_values) in zip(state.seen, newcomers.seen, strict=True):
            keys.index_copy_(0, heads, new_keys)
            values.index_copy_(0, heads, new_values)
        return replace(
            state,
            lengths=state.lengths.index_copy(0, taken, newcomers.lengths),
            past=state.past.index_copy(0, taken, newcomers.past),
            padding=state.padding.index_copy(0, heads, newcomers.padding),
            places=torch.cat((self.live_rows, rows)),
        )

    def as_large_as(self, other: Slots) -> Slots:
        """The same with at least as many slots, and as long a memory, as another state."""
        slots = other.past.shape[-1] - self.past.shape[-1]
        longer = other.padding.shape[-1] - self.padding.shape[-1]
        state = self.roomier(slots) if slots > 0 else self
        if longer <= 0:
            return state
        seen = [Seen(pad(keys, (0, longer)), pad(values, (0, 0, 0, longer))) for keys, values in self.seen]
        return replace(state, seen=seen, padding=pad(self.padding, (0, longer), value=-torch.inf))

    def compact(self) -> Slots:
        """The state without the sentences that have ended, if these are the most."""
        if self.places is None or 2 * len(self.places) > len(self.past) * self.width:
            return self
        live = self.live
        of_heads = (live[:, None] * self.heads + torch.arange(self.heads, device=live.device)).flatten()
        return replace(
            self,
            lengths=self.lengths[live],
            pools=[pool.index_select(1, live) for pool in self.pools],
            past=self.past[live],
            seen=[Seen(*(x.index_select(0, of_heads) for x in seen)) for seen in self.seen],
            padding=self.padding.index_select(0, of_heads),
            places=None,
        )


def rounded(slots: int) -> int:
    """At least so many slots."""
    return -(-slots // ROOM) * ROOM
