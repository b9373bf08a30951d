"""A pool shows each hypothesis its own past, however often hypotheses continue others and sentences leave."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtcli.model.attention.pool import ROOM, Beginning, Pool

GROUPS, DIM = 2, 3


def visible(pool: Pool, row: int) -> tuple[Tensor, Tensor]:
    """The keys and offsets that a hypothesis sees, in the order in which they came."""
    sentence, place = divmod(row, pool.width)
    seen = slice(None) if pool.seen is None else pool.seen[sentence, place]
    return pool.keys[sentence][:, seen], pool.offsets[place][seen]


@pytest.mark.parametrize("width", [1, 4])
def test_every_hypothesis_sees_its_own_past(width: int) -> None:
    """Beside lists that move; long enough to make room twice."""
    generator = torch.Generator().manual_seed(width)
    sentences, pool = 3, None
    pasts: list[list[Tensor]] = [[] for _ in range(sentences * width)]
    before: Beginning | Pool = Beginning(width)
    for time in range(2 * ROOM + 3):
        key = torch.randn(len(pasts), GROUPS, 1, DIM, generator=generator)
        pool = before.append(key, -key)
        for past, row in zip(pasts, key, strict=True):
            past.append(row)
        for row, past in enumerate(pasts):
            keys, offsets = visible(pool, row)
            assert torch.equal(keys, torch.cat(past, dim=1))
            assert offsets.tolist() == list(range(-time, 1))
        assert torch.equal(pool.values, -pool.keys)
        order = torch.randint(width, (sentences, width), generator=generator)
        order += width * torch.arange(sentences)[:, None]
        if time in (5, ROOM):  # a sentence is finished
            order, sentences = order[1:], sentences - 1
        before = pool.select(order.flatten())
        pasts = [list(pasts[row]) for row in order.flatten().tolist()]
