"""Checkpoints to save: small, with tied, empty, strided and overlapping tensors of many types."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mtcli.checkpoint.store import Checkpoint, Resume
from mtcli.settings import Recipe


def example(step: int = 100, resume: bool = True) -> Checkpoint:
    """A checkpoint whose every file depends on `step`."""
    draw = torch.Generator().manual_seed(step)
    embedding = torch.randn(7, 4, generator=draw)
    weights = {
        "source_embedding.weight": embedding,
        "output.weight": embedding,
        "target_embedding.weight": embedding,
        "transposed": torch.randn(3, 5, generator=draw).t(),
        "half": torch.randn(6, generator=draw).to(torch.bfloat16),
        "counts": torch.arange(step, step + 3),
        "mask": torch.tensor([True, False]),
        "scalar": torch.tensor(float(step)),
        "nothing": torch.zeros(0, 3),
        "first_row": embedding[0],
        "flat": embedding.view(-1),
    }
    values = {"step": step, "best": {"bleu": 31.25}, "place": [1, step]}
    moments = {"moment": torch.randn(7, 4, generator=draw), "random": torch.arange(9, dtype=torch.uint8)}
    recipe = Recipe()
    return Checkpoint(
        recipe=recipe.model_copy(update={"training": recipe.training.model_copy(update={"max_steps": step})}),
        tokenizer={"tokenizer.model": b"pieces of step %d" % step},
        weights=weights,
        scores={"bleu": {"value": step / 10, "signature": "nrefs:1|tok:13a"}},
        step=step,
        resume=Resume(moments, values) if resume else None,
    )


def same(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two checkpoints are equal, tensors bit by bit."""
    bare = [replace(each, weights={}, resume=None) for each in (one, other)]
    resumes = [each.resume or Resume({}, {}) for each in (one, other)]
    return (
        bare[0] == bare[1]
        and (one.resume is None) == (other.resume is None)
        and resumes[0].values == resumes[1].values
        and identical(resumes[0].tensors, resumes[1].tensors)
        and identical(one.weights, other.weights)
    )


def identical(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two sets of tensors have the same names, types, shapes and bits."""
    return one.keys() == other.keys() and all(
        tensor.dtype == other[name].dtype and tensor.shape == other[name].shape and bits(tensor) == bits(other[name])
        for name, tensor in one.items()
    )


def bits(tensor: Tensor) -> bytes:
    """The bytes of a tensor."""
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def files(directory: Path) -> list[Path]:
    """All files of a directory, in a fixed order."""
    return sorted(path for path in directory.iterdir() if path.is_file())
