"""What a run tells programs: `log.jsonl`, and TensorBoard's event files on request."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mtcli.errors import UsageError
from mtcli.training.observer import Observer, Standing, Validation


class Log:
    """Appends one strict JSON object per event to `log.jsonl`, and scalars to TensorBoard on request."""

    def __init__(self, run: Path, tensorboard: bool, observer: Observer) -> None:
        self.path = run / "log.jsonl"
        self.observer = observer
        self.broken = False
        self.board = event_writer(run) if tensorboard else None

    def standing(self, standing: Standing) -> None:
        """Log some steps."""
        self.write({"event": "steps", **asdict(standing)})
        self.plot("train", {"loss": standing.loss, "lr": standing.lr}, standing.step)

    def validation(self, step: int, validation: Validation) -> None:
        """Log a validation."""
        scores = validation.as_json()
        self.write({"event": "validation", "step": step, "seconds": validation.seconds, **scores})
        figures = {name: score["value"] for name, score in scores["scores"].items()}
        self.plot("valid", {"loss": validation.loss, **figures}, step)

    def write(self, event: dict[str, Any]) -> None:
        """Append one event."""
        finite = {key: None if unspeakable(value) else value for key, value in event.items()}
        with self.forgiven(), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite, allow_nan=False, ensure_ascii=False) + "\n")

    def plot(self, group: str, figures: dict[str, float], step: int) -> None:
        """Write scalars for TensorBoard, if it was asked for."""
        if self.board:
            with self.forgiven():
                for name, value in figures.items():
                    self.board.add_scalar(f"{group}/{name}", value, step)
                self.board.flush()

    @contextmanager
    def forgiven(self) -> Iterator[None]:
        """If the disk does not take it, warn once and train on."""
        try:
            yield
        except OSError as error:
            if not self.broken:
                self.observer.warn(
                    f"{self.path} cannot be written ({error.strerror}); training goes on without a log"
                )
            self.broken = True


def unspeakable(value: Any) -> bool:
    """Whether JSON has no number for this one."""
    return isinstance(value, float) and not math.isfinite(value)


def event_writer(run: Path) -> Any:
    """A TensorBoard writer; `UsageError` if the package is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("TensorBoard is not installed", "pip install 'mtcli-nmt[tensorboard]'") from None
    return SummaryWriter(str(run / "tensorboard"))
