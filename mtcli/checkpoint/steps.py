"""The checkpoints of a run: find one to use, the newest to go on from, and remove old ones."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mtcli.checkpoint import durable, manifest
from mtcli.errors import ModelError

Pointer = Literal["best", "latest"]
STEP = re.compile(r"step-(0|[1-9][0-9]{0,18})")
log = logging.getLogger(__name__)


def find(path: Path) -> Path:
    """The checkpoint directory that `-m/--model` names: `path` itself, or the best of the run `path`.

    If the best of a run does not verify, the newest that does is taken, and a warning is logged with the reason.
    Raises `ModelError` if there is none, or if a checkpoint named explicitly is damaged.
    """
    if not os.path.exists(path):  # unlike `Path.exists`, never an `OSError`, whatever the name
        raise ModelError(f"there is no model at {path}")
    if not path.is_dir():
        raise ModelError(
            f"{path} is a file, not a model",
            "name a run, or one directory in its checkpoints/; pickled models (.pt) are never opened:"
            " they can run code",
        )
    if not (path / "checkpoints").is_dir():
        manifest.verify(path)
        return path
    return best(path) or fallback(path)


def best(run: Path) -> Path | None:
    """The checkpoint that `best.json` names, or None, with a warning, if it cannot be used."""
    step = recorded(run, "best")
    if step is None:
        if (run / "best.json").exists():
            log.warning("%s is damaged; taking the newest checkpoint instead", run / "best.json")
        return None
    directory = place(run, step)
    try:
        manifest.verify(directory)
    except ModelError as error:
        log.warning("%s; taking the newest checkpoint instead of this best one", error.message)
        return None
    return directory


def fallback(run: Path) -> Path:
    """The newest checkpoint of a run that verifies, with warnings about the ones passed over."""
    directory, passed_over = newest(run)
    if directory is None and passed_over:
        raise ModelError(f"no checkpoint of {run} is whole", *passed_over)
    if directory is None:
        raise ModelError(
            f"{run} has no checkpoint yet", "train until the first validation, or the first --save-every"
        )
    for reason in passed_over:
        log.warning("%s", reason)
    return directory


def newest(run: Path) -> tuple[Path | None, list[str]]:
    """The newest step that verifies, or None, and a sentence about each newer one that does not."""
    passed_over = []
    for step in reversed(steps(run)):
        try:
            manifest.verify(place(run, step))
        except ModelError as error:
            passed_over.append(error.message)
        else:
            return place(run, step), passed_over
    return None, passed_over


def steps(run: Path) -> list[int]:
    """The steps that have a checkpoint directory, whole or not, in rising order."""
    try:
        names = os.listdir(run / "checkpoints")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelError(f"{run / 'checkpoints'} cannot be read: {error}") from error
    return sorted(int(match[1]) for name in names if (match := STEP.fullmatch(name)))


def place(run: Path, step: int) -> Path:
    """Where a run keeps its checkpoint of a step."""
    return run / "checkpoints" / f"step-{step}"


def point(run: Path, name: Pointer, step: int, about: Mapping[str, Any] | None = None) -> None:
    """Let `run/best.json` or `run/latest.json` name a step, with strict JSON `about` it, such as its score.

    Pointers are hints: whoever reads one must do without. Raises `ResourceError` if it cannot be written.
    """
    values = {"step": step, **(about or {})}
    durable.write_file(run / f"{name}.json", (json.dumps(values, allow_nan=False) + "\n").encode())


def pointed(run: Path, name: Pointer) -> int | None:
    """The step that a pointer names; None if there is no pointer, it is damaged, or that step has no directory."""
    step = recorded(run, name)
    return step if step in steps(run) else None


def recorded(run: Path, name: Pointer) -> int | None:
    """The step that stands in a pointer, whether or not it has a directory."""
    try:
        values = json.loads((run / f"{name}.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    step = values.get("step") if isinstance(values, dict) else None
    return step if type(step) is int else None


def prune(run: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep` checkpoints and the best one; return what was removed.

    Checkpoints whose files are not all there in full size do not count, and those newer than the oldest kept stay
    for a person to see. While `best.json` is damaged nothing is removed: any of them may be the best.
    """
    best = recorded(run, "best")
    if best is None and (run / "best.json").exists():
        log.warning("%s is damaged, so no old checkpoint is removed", run / "best.json")
        return []
    whole = [step for step in steps(run) if complete(place(run, step))]
    if len(whole) <= keep:
        return []
    oldest = whole[-keep]
    doomed = [place(run, step) for step in steps(run) if step < oldest and step != best]
    for directory in doomed:
        durable.remove(directory)
    return doomed


def remove_after(run: Path, step: int) -> None:
    """Remove the checkpoints of later steps, and `best.json` if it names one of them."""
    for later in reversed([each for each in steps(run) if each > step]):
        durable.remove(place(run, later))
    if (recorded(run, "best") or 0) > step:
        durable.remove(run / "best.json")


def complete(directory: Path) -> bool:
    """Whether all files of a checkpoint are there in full size."""
    try:
        manifest.verify(directory, contents=False)
    except ModelError:
        return False
    return True
