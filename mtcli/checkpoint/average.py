"""Average the weights of checkpoints: often better than any of them (Vaswani et al. 2017, section 6.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mtcli import recipe as recipes
from mtcli.checkpoint import manifest, steps, store, tensors
from mtcli.checkpoint.store import Checkpoint
from mtcli.errors import ModelError


def average(paths: Sequence[Path]) -> Checkpoint:
    """The mean of the weights at `paths`, with recipe, tokenizer and step of the last one; no scores, not resumable.

    Sums are float64, so that float32 and shorter numbers are rounded once, at the end; tensors that do not hold
    floating-point numbers must be equal; what is drawn at random, and not learned, is the last one's. Only two
    checkpoints are in memory at a time. Raises `ModelError` if one is damaged, or if two differ in anything but
    weights and settings that a resumed run may change.
    """
    assert paths, "there is nothing to average"
    last = store.load(paths[-1])
    ties = tensors.tied(last.weights)
    learned = [name for name in set(ties.values()) if averaged(last.weights[name]) and not drawn(name)]
    sums = {name: last.weights[name].to(torch.float64) for name in learned}
    for path in paths[:-1]:
        other = store.load(path)
        require_same(last, other, paths[-1], path)
        for name in sums:
            sums[name] += other.weights[name]
    means = {name: (total / len(paths)).to(last.weights[name].dtype) for name, total in sums.items()}
    weights = {name: means.get(original, last.weights[original]) for name, original in ties.items()}
    return replace(last, weights=weights, scores={}, resume=None)


def last(run: Path, count: int) -> list[Path]:
    """The newest `count` whole checkpoints of a run, oldest first; `ModelError` if it has fewer."""
    found: list[Path] = []
    damage: list[str] = []
    for step in reversed(steps.steps(run)):
        if len(found) == count:
            break
        try:
            manifest.verify(steps.place(run, step))
        except ModelError as error:
            damage.append(error.message)
        else:
            found.append(steps.place(run, step))
    if len(found) < count:
        raise ModelError(
            f"{run} has {len(found)} whole checkpoints, not the {count} to be averaged",
            *damage,
            "ask for fewer, or train with a larger --keep",
        )
    for reason in damage:
        steps.log.warning("%s; averaging older ones", reason)
    return found[::-1]


def best(run: Path, count: int) -> list[Path]:
    """The `count` best whole checkpoints of a run by its own metric, oldest first; `ModelError` if it has fewer.

    Only those count that were saved at a validation. Of equal ones the newer are better.
    """
    found: list[tuple[float, int]] = []
    for step in steps.steps(run):
        try:
            value = worth(steps.place(run, step))
        except ModelError as error:
            steps.log.warning("%s; averaging others", error.message)
        else:
            found += [] if value is None else [(value, step)]
    if len(found) < count:
        raise ModelError(
            f"{run} has {len(found)} whole checkpoints with a score, not the {count} to be averaged",
            "ask for fewer, or train with a larger --keep, and with a --save-every at which it also validates",
        )
    return [steps.place(run, step) for step in sorted(step for _, step in sorted(found)[-count:])]


def worth(directory: Path) -> float | None:
    """The score of a checkpoint by the metric of its run, turned so that higher is better; None if it has none."""
    manifest.verify(directory)
    metric, scores = recipes.load(directory / store.RECIPE).training.metric, store.decoded(directory / store.SCORES)
    if metric == "loss":
        return None if scores.get("loss") is None else -float(scores["loss"])
    figures = scores.get("scores", {}).items()
    return next((float(score["value"]) for name, score in figures if name.lower().startswith(metric)), None)


def averaged(tensor: Tensor) -> bool:
    """Whether a mean of such tensors makes sense."""
    return tensor.is_floating_point()


def drawn(name: str) -> bool:
    """Whether a tensor is of a module called `drawn`: random vectors, whose mean would be none of them."""
    return "drawn" in name.split(".")


def require_same(one: Checkpoint, other: Checkpoint, path: Path, other_path: Path) -> None:
    """Raise `ModelError` with all that keeps two checkpoints from being averaged."""
    changed = recipes.changes(one.recipe, other.recipe)["refuse"]
    reasons = [f"{name} is {mine!r} and {theirs!r}" for name, mine, theirs in changed]
    if one.tokenizer != other.tokenizer:
        reasons.append("their tokenizers differ")
    if tensors.tied(one.weights) != tensors.tied(other.weights):
        names = sorted(one.weights.keys() ^ other.weights.keys()) or ["the same tensors are tied differently"]
        reasons.append(f"their weights have different names: {', '.join(names[:3])}")
    for name in sorted(one.weights.keys() & other.weights.keys()):
        mine, theirs = one.weights[name], other.weights[name]
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            reasons.append(f"{name} is {described(mine)} and {described(theirs)}")
        elif not averaged(mine) and not drawn(name) and not torch.equal(mine, theirs):
            reasons.append(f"{name} differs and cannot be averaged")
    if reasons:
        raise ModelError(f"{path} and {other_path} cannot be averaged", *reasons[:10])


def described(tensor: Tensor) -> str:
    """Type and shape of a tensor, for a person to read."""
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
