"""When memory runs out in a training step: the same gradients, from smaller parts of its batches.

The rows of a batch are divided, and the gradients of the parts are added, so that an optimizer step is the same up to
rounding (and dropout draws other noise). The batches of an epoch, and so the place in the data, stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from mtcli.errors import ResourceError, out_of_memory
from mtcli.layout import Batch
from mtcli.training.state import TrainState

DOUBLINGS = 3
"""So often the parts of a batch are doubled; a run that still needs more has another fault."""

Result = TypeVar("Result")


def attempted(compute: Callable[[], Result]) -> Result | None:
    """What `compute` returns, or None if memory ran out; then all that it held is free again."""
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    # Only here, where the exception is gone, are the tensors of the frames that it passed through.
    torch.cuda.empty_cache()
    return None


def parts_of(state: TrainState, split: int) -> int:
    """Into how many parts each batch is divided: `split` of the settings, doubled as often as memory ran out."""
    return split << state.progress.split_doublings


def within_memory(state: TrainState, batches: Sequence[Batch], split: int, compute: Callable[[], Result]) -> Result:
    """What `compute` makes of the batches, of which the gradients are part, in parts that fit at every rank.

    Where memory runs out at one, all forget what they have and begin anew with twice the parts: so the ranks go on to
    add their gradients together, and agree on the parts from then on. `ResourceError` if more parts are no use.
    """
    while True:
        result = attempted(compute)
        if result is None:
            refuse_hopeless(state, batches, split)
        (short,) = state.ranks.most(int(result is None))
        if result is not None and not short:
            return result
        state.progress.split_doublings += 1
        state.optimizer.zero_grad(set_to_none=True)


def refuse_hopeless(state: TrainState, batches: Sequence[Batch], split: int) -> None:
    """Raise `ResourceError` if memory that ran out will not suffice for more parts either."""
    parts = parts_of(state, split)
    divisible = parts < max(batch.pairs for batch in batches)
    # Ranks that divide the model wait for each other within a step: none of them can begin it anew.
    if divisible and state.progress.split_doublings < DOUBLINGS and not state.holding.sharded:
        return
    source = max(batch.source_rows.width for batch in batches)
    target = max(batch.target_rows.width for batch in batches)
    raise ResourceError(
        f"memory ran out in step {state.progress.step + 1:,}, with batches divided by {parts}",
        f"the longest of its pairs have {source:,} source and {target:,} target tokens",
        f"let other programs free some memory, or go on with --split {2 * parts}"
        if divisible
        else "start a run with a smaller --max-length, --precision bf16, or a smaller model",
    )
