"""What a run tells the outside: events for people (an `Observer`), and `log.jsonl` and TensorBoard for programs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from mtcli.training.validate import Validation


@dataclass(frozen=True)
class StepMetrics:
    """What one optimizer step did; `loss` is a sum over target tokens, in nats, still on the device."""

    loss: Tensor
    target_tokens: int
    tokens: int
    gradient_norm: float
    lr: float


@dataclass(frozen=True)
class Standing:
    """Where a run stands; `loss` is nats per target token since the last standing, `remaining` is in seconds."""

    step: int
    epoch: int
    loss: float
    lr: float
    tokens_per_second: float
    gradient_norm: float
    seconds: float
    remaining: float | None
    skipped: int


class Observer(Protocol):
    """Whoever shows a run to people; nothing in `training` prints."""

    def say(self, sentence: str) -> None:
        """Something to know."""

    def warn(self, sentence: str) -> None:
        """Something to worry about."""

    def stand(self, standing: Standing) -> None:
        """Some steps were taken."""

    def validated(self, validation: Validation, best: bool, patience: int | None) -> None:
        """A validation ended; `patience` is how many more may pass without a new best."""

    def saved(self, path: Path) -> None:
        """A checkpoint is on disk."""


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
        """Append one event; if that fails, warn once and train on."""
        finite = {key: None if unspeakable(value) else value for key, value in event.items()}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(finite, allow_nan=False, ensure_ascii=False) + "\n")
        except OSError as error:
            if not self.broken:
                self.observer.warn(
                    f"{self.path} cannot be written ({error.strerror}); training goes on without a log"
                )
            self.broken = True

    def plot(self, group: str, figures: dict[str, float], step: int) -> None:
        """Write scalars for TensorBoard, if it was asked for."""
        if self.board:
            for name, value in figures.items():
                self.board.add_scalar(f"{group}/{name}", value, step)
            self.board.flush()


def unspeakable(value: Any) -> bool:
    """Whether JSON has no number for this one."""
    return isinstance(value, float) and not math.isfinite(value)


def event_writer(run: Path) -> Any:
    """A TensorBoard writer; `UsageError` if the package is missing."""
    from mtcli.errors import UsageError

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("TensorBoard is not installed", "pip install 'mtcli-nmt[tensorboard]'") from None
    return SummaryWriter(str(run / "tensorboard"))
