"""`--max-tokens auto`: a batch stays as large as its recipe says, and is divided into as few parts as fit.

So nobody has to know her machine, and what is learned does not depend on it. The worst batch of the corpus is tried
on a model that is thrown away. A processor is not tried to its limits, where the whole system would suffer: what a
backward pass would hold is counted, and parts are no larger than pays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mtcli.data.encoded import Encoded
from mtcli.errors import ResourceError
from mtcli.layout import UNK, Batch
from mtcli.machine import free_memory
from mtcli.settings import Recipe, TrainingSettings
from mtcli.training.consistency import passes
from mtcli.training.engine import gradients
from mtcli.training.guidance import unguided
from mtcli.training.links import Linked
from mtcli.training.loss import training_loss
from mtcli.training.memory import attempted
from mtcli.training.observer import Observer
from mtcli.training.state import TrainState

RESERVE = 0.1
"""Share of a GPU's free memory."""
SHARE = 0.5
"""Share of the free main memory that the counted bytes may take: with what a backward pass holds for a while, a step
was seen to take 1.2 to 1.6 times as much."""
PROCESSOR_TOKENS = 4096
"""On a processor larger parts take more memory and no less time: `small`, fp32, one core, a batch of 16,384 tokens at
once 3,014 tokens/s, in 4 parts 3,165, in 16 parts 3,198."""


def fitted(recipe: Recipe, built: Callable[[Recipe], TrainState], corpus: Encoded, observer: Observer) -> Recipe:
    """The recipe with `split` found for its model, corpus and machine; what is `built` for it is thrown away.

    Each rank tries it for itself, all at the same time; the one that needs most parts decides.
    """
    # A trial that skips layers by chance would say nothing of the steps that skip none.
    whole = recipe.model.model_copy(update={"layer_dropout": 0.0})
    state, settings = built(recipe.model_copy(update={"model": whole})), recipe.training
    (split,) = state.ranks.most(fewest_parts(state, longest_batch(corpus, settings.max_tokens), settings))
    parts = f"computed in {split} parts" if split > 1 else "computed at once"
    observer.say(f"batches of {settings.max_tokens:,} tokens are {parts}")
    return recipe.model_copy(update={"training": settings.model_copy(update={"split": split})})


def longest_batch(corpus: Encoded, max_tokens: int) -> Batch:
    """The batch that takes most memory: attention grows with the square of a length, all else with the tokens."""
    length = corpus.longest
    rows = [[UNK] * length] * max(1, max_tokens // (length + 1))
    batch = Batch.of(rows, rows)
    return unguided(batch) if isinstance(corpus, Linked) else batch


def fewest_parts(state: TrainState, batch: Batch, settings: TrainingSettings) -> int:
    """The smallest power of two that fits; `ResourceError` if not even one pair does."""
    for parameter in state.model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    state.optimizer.step()  # which allocates its moments
    parts = 1
    if state.device.type == "cpu":
        parts = parts_for_processor(state, batch, settings)
    while not fits(state, batch.parts(parts)[0], settings):
        if parts >= batch.pairs:
            length = batch.source_rows.width
            raise ResourceError(
                f"there is not enough memory to train on a pair of {length:,} tokens on each side",
                "give a smaller --max-length, --precision bf16, or a smaller model",
            )
        parts *= 2
    return parts


def fits(state: TrainState, batch: Batch, settings: TrainingSettings) -> bool:
    """Whether there is memory for a batch, with gradients and moments there, as in every later step."""

    def trial() -> Tensor:
        reserve = torch.empty(reserved(state.device), dtype=torch.uint8, device=state.device)
        loss = gradients(state, [batch], whole, batch.target_tokens)
        del reserve
        return loss

    whole = settings.model_copy(update={"split": 1})
    return attempted(trial) is not None


def reserved(device: torch.device) -> int:
    """Bytes to be left free: on a GPU, where batches of many shapes leave gaps between them."""
    return int(RESERVE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0


def parts_for_processor(state: TrainState, batch: Batch, settings: TrainingSettings) -> int:
    """The smallest power of two with parts that are not too large, and that leave memory to others."""
    rows, free, tokens = batch.pairs, free_memory(), passes(settings) * batch.source_rows.width
    fixed, each = bytes_held(state, batch, settings)
    share = SHARE / state.ranks.world  # ranks without a GPU share one memory
    parts = 1
    while parts < rows:
        size = -(-rows // parts)
        small = size == 1 or size * tokens <= PROCESSOR_TOKENS
        if small and (free is None or fixed + size * each <= share * free):
            break
        parts *= 2
    return parts


def bytes_held(state: TrainState, batch: Batch, settings: TrainingSettings) -> tuple[int, int]:
    """Bytes that a forward pass keeps for the backward pass: whatever the batch, and for each of its rows."""
    one, two = (kept(state, batch.part(slice(count)), settings) for count in (1, 2))
    return max(0, 2 * one - two), two - one


def kept(state: TrainState, batch: Batch, settings: TrainingSettings) -> int:
    """Bytes of the tensors that a forward pass keeps, those of the model left out; each counts once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in state.model.parameters()}
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Any:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), state.precision.autocast():
        training_loss(state.model, batch.to(state.device), settings)
    return sum(size for place, size in found.items() if place not in own)
