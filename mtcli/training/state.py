"""Everything a step changes: model, optimizer, precision and progress; to and from what a checkpoint stores."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from mtcli.checkpoint.store import Resume
from mtcli.data.batches import Place
from mtcli.model.low_rank import merged, unmerged
from mtcli.model.seq2seq import Seq2Seq
from mtcli.training.ema import Average
from mtcli.training.holding import Holding
from mtcli.training.precision import Precision
from mtcli.training.ranks import Ranks


@dataclass
class Trend:
    """The training loss, in windows of steps."""

    total: float = 0.0
    """Nats in the window that is being filled, and over how many target tokens."""
    tokens: int = 0
    lowest: float | None = None
    """Nats per token of the best window so far."""
    high: int = 0
    """Windows in a row whose loss was too high."""


@dataclass
class Progress:
    """How far a run has come; plain numbers, stored as JSON."""

    step: int = 0
    place: Place = field(default_factory=Place)
    tokens: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_step: int = 0
    validations_since_best: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    rescaled: int = 0
    """Updates that fp16 gave to the search for its gradient scale; not among the skipped."""
    rate_halvings: int = 0
    """How often the learning rate was halved because training diverged."""
    split_doublings: int = 0
    """How often the parts of a batch were doubled because memory ran out."""
    trend: Trend = field(default_factory=Trend)


@dataclass
class TrainState:
    """What one optimizer step reads and writes."""

    model: Seq2Seq[Any]
    optimizer: Optimizer
    precision: Precision
    progress: Progress
    data: str
    """Identifies the corpus and the tokenizer."""
    ranks: Ranks = field(default_factory=Ranks)
    """The processes that train this model together."""
    average: Average | None = None
    holding: Holding = field(default_factory=Holding)
    """How the processes hold the model, its average and the optimizer's moments."""

    @property
    def judged(self) -> Seq2Seq[Any]:
        """The model that is validated and stored: the average, if there is one."""
        return self.average.current() if self.average else self.model

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.precision.device

    def weights(self) -> dict[str, Tensor]:
        """The parameters of the model that is judged, by name, as a plain one has them; tied ones are one tensor."""
        return merged(self.judged)

    def align(self) -> None:
        """Give all ranks the first one's weights: those that another kind of machine drew may differ."""
        if self.holding.sharded:  # there is one of each, and they were aligned before they were divided
            return
        self.ranks.align([*self.judged.state_dict().values(), *self.model.state_dict().values()])

    def resume(self) -> Resume:
        """What another process needs to go on as if it were this one."""
        tensors = {
            f"optimizer.{index}.{key}": value
            for index, entry in self.optimizer.state_dict()["state"].items()
            for key, value in entry.items()
        }
        tensors |= {f"unmerged.{name}": value for name, value in unmerged(self.judged).items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        values: dict[str, Any] = {
            "progress": asdict(self.progress),
            "scaler": self.precision.state(),
            "data": self.data,
            "machine": self.machine(),
            "ranks": self.ranks.world,
        }
        if self.average:
            tensors |= {f"raw.{name}": weight for name, weight in self.average.raw().items()}
            values["averaged"] = self.average.updates
        return Resume(tensors, values)

    def machine(self) -> str:
        """What the bits of a result depend on, beside the recipe."""
        threads = f", {torch.get_num_threads()} threads" if self.device.type == "cpu" else ""
        processes = f", {self.ranks.world} processes" if self.ranks.world > 1 else ""
        return f"PyTorch {torch.__version__} on {self.device.type}{threads}{processes}"

    def restore(self, weights: dict[str, Tensor], resume: Resume) -> None:
        """Become the state that was stored."""
        moments: dict[int, dict[str, Tensor]] = {}
        raw: dict[str, Tensor] = {}
        parts: dict[str, Tensor] = {}
        for name, tensor in resume.tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                index, _, key = rest.partition(".")
                moments.setdefault(int(index), {})[key] = tensor
            elif kind == "raw":
                raw[rest] = tensor
            elif kind == "unmerged":
                parts[rest] = tensor
        weights = {**weights, **parts}
        if self.average:
            self.average.restore(weights, raw, resume.values["averaged"])
        else:
            self.model.load_state_dict(weights)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        progress = dict(resume.values["progress"])
        tables = {"place": Place(**progress["place"]), "trend": Trend(**progress.get("trend", {}))}
        self.progress = Progress(**{**progress, **tables})
        self.precision.restore(resume.values["scaler"])
        torch.set_rng_state(resume.tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in resume.tensors:
            torch.cuda.set_rng_state(resume.tensors["random.cuda"], self.device)
