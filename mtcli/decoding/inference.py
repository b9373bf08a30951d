"""Running a model that does not learn: without dropout and gradients, over batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Put `model` into evaluation mode without gradients, and back into its mode afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places in `lengths` that together are padded to at most `budget` tokens, at least one; the longest first."""
    # So that memory that does not suffice runs out at once.
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    start = 0
    while start < len(order):
        count = max(1, budget // lengths[order[start]])
        yield order[start : start + count]
        start += count
