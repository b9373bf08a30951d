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

    length: int
    """Tokens of each hypothesis so far."""
    width: int
    pools: list[Float[Tensor, "2 b h c d"]]
    """The keys and values of each layer, in `c` slots."""
    past: Float[Tensor, "b w c"]
    """0 where a hypothesis may see a slot, and minus infinity where the slot is empty or belongs to others."""
    seen: list[Seen]
    padding: Float[Tensor, "bh 1 s"]
    """0 where the memory has a token, and minus infinity where it has padding."""
    places: Int[Tensor, " n"] | None = None
    """Which of the `b w` hypotheses the rows are; None: all. Sentences that have ended may stay for a while."""

    @property
    def heads(self) -> int:
        """Of each layer."""
        return self.pools[0].shape[2]

    def with_room(self) -> tuple[Slots, Int[Tensor, "b w"]]:
        """The state with a slot for the next token of each hypothesis, which that alone may see, and these slots."""
        (sentences, width, slots), device = self.past.shape, self.past.device
        if width == 1:
            state = self if self.length < slots else self.roomier()
            state.past[:, :, self.length] = 0
            return state, torch.full((sentences, 1), self.length, device=device)
        empty = self.past.amax(1) < 0
        if int(empty.sum(-1).min()) < width:
            return self.roomier().with_room()
        free = torch.where(empty, torch.arange(slots, 0, -1, device=device), 0).topk(width).indices
        hypotheses = torch.arange(sentences * width, device=device)
        self.past.view(-1).index_fill_(0, hypotheses * slots + free.flatten(), 0)
        return self, free

    def roomier(self) -> Slots:
        """The same with more slots."""
        past = pad(self.past, (0, ROOM), value=-torch.inf)
        return replace(self, past=past, pools=[pad(pool, (0, 0, 0, ROOM)) for pool in self.pools])

    def mask(self) -> Float[Tensor, "#bh w c"]:
        """Whose past each slot is, for each head; of single hypotheses the same for all."""
        if self.width == 1:
            return self.past[:1]
        return self.past[:, None].expand(-1, self.heads, -1, -1).reshape(-1, *self.past.shape[1:])

    def places_of(self, slots: Int[Tensor, "b w"]) -> Int[Tensor, " bw2h"]:
        """Where the keys and values of tokens in these slots are in a pool seen as a list of vectors."""
        sentences, _, size = self.past.shape
        first = torch.arange(2 * sentences * self.heads, device=slots.device) * size
        first = first.view(2, sentences, 1, self.heads).permute(1, 2, 0, 3)  # b 1 2 h
        return (first + slots[:, :, None, None]).flatten()

    def select(self, rows: Int[Tensor, " r"]) -> Slots:
        """The state whose row `i` continues the old row `rows[i]`, one of the same sentence's."""
        places = rows if self.places is None else self.places.index_select(0, rows)
        past = self.past.flatten(0, 1).index_select(0, places).view(-1, *self.past.shape[1:])
        if len(past) == len(self.past):
            return replace(self, past=past)
        kept = places[:: self.width] // self.width
        if 2 * len(kept) > len(self.past):
            # To copy what is left would cost more than to compute what is not needed.
            return self.keep_among_all(kept, past)
        of_heads = (kept[:, None] * self.heads + torch.arange(self.heads, device=kept.device)).flatten()
        return replace(
            self,
            pools=[pool.index_select(1, kept) for pool in self.pools],
            past=past,
            seen=[Seen(*(x.index_select(0, of_heads) for x in seen)) for seen in self.seen],
            padding=self.padding.index_select(0, of_heads),
            places=None,
        )

    def keep_among_all(self, kept: Int[Tensor, " k"], past: Float[Tensor, "k w c"]) -> Slots:
        """The state with only some sentences' rows; the others' hypotheses go on without a past."""
        among = (kept[:, None] * self.width + torch.arange(self.width, device=kept.device)).flatten()
        if self.width == 1:
            return replace(self, places=among)
        return replace(self, past=torch.full_like(self.past, -torch.inf).index_copy_(0, kept, past), places=among)

    def among_all(self, x: Float[Tensor, "n p"]) -> Float[Tensor, "bw p"]:
        """Rows in their places among all hypotheses, also those that have ended, of which nothing is known.

        At the first token there is one row for all of a sentence.
        """
        if self.length == 0:
            return x.repeat_interleave(self.width, 0)
        if self.places is None:
            return x
        return x.new_zeros(len(self.past) * self.width, x.shape[1]).index_copy_(0, self.places, x)

    def among_rows(self, x: Float[Tensor, "bw p"]) -> Float[Tensor, "n p"]:
        """What of all hypotheses belongs to the rows."""
        if self.length == 0:
            return x[:: self.width]
        return x if self.places is None else x.index_select(0, self.places)


def rounded(slots: int) -> int:
    """At least so many slots."""
    return -(-slots // ROOM) * ROOM
