"""Running a model that does not learn: without dropout and gradients, over batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from mtcli.layout import Batch

Result = TypeVar("Result")


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


def over_pairs(
    model: nn.Module,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    batch_tokens: int,
    device: torch.device,
    compute: Callable[[Batch, list[int]], Sequence[Result]],
) -> list[Result]:
    """What `compute` finds for each pair of a batch and their places among all; in the order of the arguments.

    Tokens are without BOS and EOS; `batch_tokens` bounds sentences x longest side in a batch.
    """
    results: dict[int, Result] = {}
    lengths = [max(len(source), len(target)) + 1 for source, target in zip(sources, targets, strict=True)]
    with at_rest(model):
        for places in batches(lengths, batch_tokens):
            batch = Batch.of([sources[i] for i in places], [targets[i] for i in places]).to(device)
            results.update(zip(places, compute(batch, places), strict=True))
    return [results[place] for place in range(len(sources))]
