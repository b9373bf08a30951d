"""A checkpoint directory: all that using a model or training it further needs, in files of documented formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mtcli import recipe as recipes
from mtcli.checkpoint import durable, manifest, tensors
from mtcli.errors import ModelError, ResourceError, UsageError
from mtcli.settings import Recipe

RECIPE = "recipe.toml"
WEIGHTS = "model.safetensors"
SCORES = "scores.json"
RESUME_TENSORS = "training.safetensors"
RESUME_VALUES = "training.json"
TOKENIZERS = (("tokenizer.model",), ("source.model", "target.model"))


@dataclass(frozen=True)
class Resume:
    """What only going on with training needs."""

    tensors: dict[str, Tensor]
    """Moments of the optimizer, states of the random number generators."""
    values: dict[str, Any]
    """The place in the data, the best score, seconds trained...; strict JSON, so neither NaN nor infinities."""


@dataclass(frozen=True)
class Checkpoint:
    """A model as trained up to `step`, and what is needed to use it."""

    recipe: Recipe
    tokenizer: dict[str, bytes]
    """File names and contents: `tokenizer.model`, or `source.model` and `target.model`."""
    weights: dict[str, Tensor]
    """As from `state_dict()`; names of the same tensor are stored once."""
    scores: dict[str, Any]
    """Metrics with their signatures; strict JSON."""
    step: int
    resume: Resume | None


def save(run: Path, checkpoint: Checkpoint) -> Path:
    """Write `run/checkpoints/step-N` and return it; raise `ResourceError` if the disk does not take it.

    A step is written once: if it is there and verifies, it stays as it is, later scores included (no file system can
    exchange two directories such that a crash leaves one of them). If it is damaged, it is replaced.
    """
    directory = run / "checkpoints" / f"step-{checkpoint.step}"
    try:
        manifest.verify(directory)
    except ModelError:
        publish(directory, checkpoint)
    return directory


def write(directory: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to a directory of its own; raise `UsageError` if something is there already."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} exists already", "choose another place, or remove it first")
    publish(directory, checkpoint)


def publish(directory: Path, checkpoint: Checkpoint) -> None:
    """Write all files of a checkpoint at once."""
    assert tuple(sorted(checkpoint.tokenizer)) in TOKENIZERS, sorted(checkpoint.tokenizer)

    def fill(temporary: Path) -> None:
        durable.create(temporary / RECIPE, recipes.dump(checkpoint.recipe).encode())
        for name, data in checkpoint.tokenizer.items():
            durable.create(temporary / name, data)
        durable.create(temporary / WEIGHTS, tensors.pack(checkpoint.weights, {"step": checkpoint.step}))
        if checkpoint.resume is not None:
            durable.create(temporary / RESUME_TENSORS, tensors.pack(checkpoint.resume.tensors, {}))
            durable.create(temporary / RESUME_VALUES, encoded(checkpoint.resume.values))
        durable.create(temporary / SCORES, encoded(checkpoint.scores))

    durable.publish(directory, fill, size(checkpoint))


def size(checkpoint: Checkpoint) -> int:
    """About how many bytes a checkpoint takes on disk."""
    training = tensors.size(checkpoint.resume.tensors) if checkpoint.resume else 0
    return tensors.size(checkpoint.weights) + training + sum(map(len, checkpoint.tokenizer.values()))


def encoded(values: Mapping[str, Any]) -> bytes:
    """Strict JSON for people and programs."""
    return (json.dumps(values, indent=1, allow_nan=False) + "\n").encode()


def load(path: Path, resume: bool = False) -> Checkpoint:
    """Verify and read a checkpoint directory; tensors are in main memory, tied ones tied again.

    `resume` says whether to read what training needs to go on; without it, or in a checkpoint without it, `resume` of
    the result is None. Raises `ModelError` for any damage.
    """
    manifest.verify(path)
    names = manifest.names(path)
    weights, about = unpacked(path / WEIGHTS)
    step = about.get("step")
    if type(step) is not int or step < 0:
        raise ModelError(f"{path / WEIGHTS} is damaged: it does not say after how many steps it was saved")
    training = None
    if resume and {RESUME_TENSORS, RESUME_VALUES} <= names:
        training = Resume(unpacked(path / RESUME_TENSORS)[0], decoded(path / RESUME_VALUES))
    return Checkpoint(
        recipe=recipes.load(path / RECIPE),
        tokenizer=tokenizer(path, names),
        weights=weights,
        scores=decoded(path / SCORES),
        step=step,
        resume=training,
    )


def tokenizer(path: Path, names: set[str]) -> dict[str, bytes]:
    """The tokenizer's files."""
    for files in TOKENIZERS:
        if names.issuperset(files):
            return {name: contents(path / name) for name in files}
    raise ModelError(f"{path} is damaged: it has no tokenizer")


def unpacked(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors in, and what is said about them in, a safetensors file."""
    try:
        return tensors.unpack(contents(path))
    except tensors.DamagedTensorsError as error:
        raise ModelError(f"{path} is damaged: {error}") from error


def decoded(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        values = json.loads(contents(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} is damaged: it does not hold an object")
    return values


def contents(path: Path) -> bytes:
    """The bytes of a file that a manifest has promised."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path.parent} is damaged: {path.name} is missing") from None
    except MemoryError:
        raise ResourceError(f"there is not enough memory to read {path}") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
