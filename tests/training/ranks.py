"""What the processes of a distributed training do in the tests: this module is what they import when they start."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from mtcli.errors import InterruptedRun, ResourceError, UsageError
from mtcli.layout import Batch
from mtcli.model.low_rank import adapt
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import TrainingSettings
from mtcli.training import engine
from mtcli.training import run as runs
from mtcli.training.distributed import Together, together
from mtcli.training.interrupt import Interrupt
from mtcli.training.loop import Group, train_step
from mtcli.training.loss import Loss, batch_loss, training_loss
from mtcli.training.observer import Nobody
from mtcli.training.optimizer import adamw
from mtcli.training.plan import Request
from mtcli.training.ranks import Ranks
from mtcli.training.run import Run, Watch
from mtcli.training.state import TrainState
from mtcli.training.train import train
from tests.training import test_loop
from tests.training.tiny import Recorder

CLIPPED = test_loop.SETTINGS.model_copy(update={"clip": 0.05})
SPLIT: tuple[list[int], ...] = ([1], [3, 4], [5], [0, 3], [6], [2, 4], [1, 5], [0])
"""The batches of one step: those of 2 to 4 target tokens, and of 8 to 19, in turn."""


def take_part(rank: int, world: int, folder: Path, *works: Any) -> None:
    """Be one rank of `world` processes, and leave what each of the functions finds in a file for the test to read."""
    torch.set_num_threads(1)
    os.environ["MTCLI_CACHE"] = str(folder / "cache")
    runs.REPORT_SECONDS = 0.0
    store = dist.FileStore(str(folder / "store"), world)  # type: ignore[attr-defined]
    with together(store, rank, world) as ranks:
        for work, *arguments in works:
            torch.save(work(ranks, folder, *arguments), folder / f"{work.__name__}-{rank}")


def share(group: Group, ranks: Ranks) -> Group:
    """The batches of a step that are a rank's own."""
    return group[ranks.rank :: ranks.world]


def exact(ranks: Ranks, dropout: float = 0.0, lora_rank: int = 0) -> TrainState:
    """A state in float64 that belongs to one of the ranks."""
    state = test_loop.fresh(dropout=dropout)
    state.model.double()
    if lora_rank:
        adapt(state.model, lora_rank, 16.0)
        state.optimizer = adamw(state.model, test_loop.SETTINGS)
    state.ranks = ranks
    return state


def steps(ranks: Ranks, dropout: float = 0.0, lora_rank: int = 0) -> dict[str, Any]:
    """The gradient, the norm and the loss of one step, and the weights after three."""
    state, group = exact(ranks, dropout, lora_rank), share(test_loop.group(*SPLIT), ranks)
    gradient = test_loop.gradient(exact(ranks, dropout, lora_rank), group, test_loop.SETTINGS)
    metrics = [train_step(state, group, CLIPPED) for _ in range(3)]
    return {
        "gradient": torch.cat([part.flatten() for part in gradient]),
        "weights": {name: value.clone() for name, value in state.weights().items()},
        "norms": [each.gradient_norm for each in metrics],
        "losses": [each.loss.item() for each in metrics],
        "tokens": [(each.target_tokens, each.tokens) for each in metrics],
    }


def mean_of_means(ranks: Ranks) -> Tensor:
    """The gradient as it is often computed: each rank's own mean, averaged over the ranks."""
    state = exact(ranks)
    batches = [batch for batch, _ in share(test_loop.group(*SPLIT), ranks)]
    tokens = sum(batch.target_tokens for batch in batches)
    for batch in batches:
        loss = batch_loss(state.model, batch, CLIPPED.label_smoothing)
        (loss.total / tokens / ranks.world).backward()  # type: ignore[no-untyped-call]
    parameters = [p for p in state.model.parameters() if p.grad is not None]
    ranks.add(parameters, torch.zeros((), dtype=torch.float64))
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def poison(ranks: Ranks) -> tuple[bool, int]:
    """Whether a gradient that is not finite at the last rank alone changes anything, and how many are counted."""
    state = exact(ranks)
    before = deepcopy(state.weights())
    if ranks.rank == ranks.world - 1:
        test_loop.poisoned(state, float("nan"))
    train_step(state, share(test_loop.group(*SPLIT), ranks), CLIPPED)
    return any(not torch.equal(before[name], x) for name, x in state.weights().items()), state.progress.skipped


def scarce(ranks: Ranks) -> dict[str, Any]:
    """Three steps; in the first, memory runs out at the last rank alone, in the last of its batches."""
    state, group = exact(ranks), share(test_loop.group(*SPLIT), ranks)
    seen: list[int] = []

    def refusing(model: Seq2Seq[Any], batch: Batch, settings: TrainingSettings) -> Loss:
        seen.append(len(batch.source))
        if ranks.rank == ranks.world - 1 and len(seen) == len(group):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return training_loss(model, batch, settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "training_loss", refusing)
        losses = [train_step(state, group, CLIPPED).loss.item() for _ in range(3)]
    return {
        "weights": {name: value.clone() for name, value in state.weights().items()},
        "losses": losses,
        "doublings": state.progress.split_doublings,
        "rows": seen[: 3 * len(group)],
    }


def holes(ranks: Ranks) -> list[Tensor | None]:
    """Sums of three gradients: one that all ranks have, one that only the last has, and one that none has."""
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(4)]
    parameters[3].requires_grad = False
    parameters[0].grad = torch.tensor([1.0, 10.0 * ranks.rank])
    if ranks.rank == ranks.world - 1:
        parameters[1].grad = torch.tensor([7.0, 8.0])
    ranks.add(parameters, torch.tensor(1.0))
    return [parameter.grad for parameter in parameters]


def words(ranks: Ranks) -> dict[str, Any]:
    """What each way of exchanging gives."""
    told = [ranks.tells(UsageError("wrong")) for _ in range(2)]
    mine = torch.full((2,), float(ranks.rank))
    ranks.align([mine])
    ranks.seed(3, 4)
    return {
        "lead": ranks.lead(lambda: f"by {ranks.rank}"),
        "sum": ranks.sum(1, 2**53 + ranks.rank),
        "most": ranks.most(float(ranks.rank), -0.5 - ranks.rank),
        "interleaved": ranks.interleaved(list(range(7))[ranks.rank :: ranks.world]),
        "aligned": mine,
        "told": told,
        "drawn": torch.rand(4),
    }


def study(ranks: Together, folder: Path) -> dict[str, Any]:
    """Everything that takes no run."""
    return {
        "steps": steps(ranks),
        "adapted": steps(ranks, lora_rank=2),
        "dropped": [steps(ranks, dropout=0.3) for _ in range(2)],
        "naive": mean_of_means(ranks),
        "poison": poison(ranks),
        "scarce": scarce(ranks),
        "holes": holes(ranks),
        "words": words(ranks),
    }


def runs_of_many_kinds(ranks: Together, folder: Path, flags: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """A whole run; one that a signal at the last rank stops, taken up again; and one without dropout."""
    recorder, interrupt, again = Recorder(), Interrupt(), Recorder()
    weights: list[str] = []
    found: dict[str, Any] = {"weights": weights}
    with acting(lambda run: weights.append(digest(run))):
        found["whole"] = run(flags, folder / "whole", ranks, recorder, Interrupt())
    found["standings"] = [(standing.step, standing.loss) for standing in recorder.standings]
    with acting(lambda run: interrupt.note(signal.SIGTERM, None) if is_last_at(run, 7) else None):
        found["stopped"] = run(flags, folder / "parts", ranks, Recorder(), interrupt)
    found["again"] = run(flags, folder / "parts", ranks, again, Interrupt())
    found["steps again"] = [standing.step for standing in again.standings]
    found["plain"] = run(plain, folder / "plain", ranks, Recorder(), Interrupt())
    found["back"] = set_back(ranks, folder, flags)
    return found


def set_back(ranks: Together, folder: Path, flags: dict[str, Any]) -> dict[str, Any]:
    """A run with an average in which the last rank alone, from its seventh step on, has ten losses that are nan."""
    recorder, weights, spoilt = Recorder(), list[str](), iter(range(10 * flags["accumulate"]))
    begun: list[int] = []

    def spoiling(*arguments: Any) -> Loss:
        loss = training_loss(*arguments)
        wrong = begun and next(spoilt, None) is not None
        return replace(loss, total=loss.total * float("nan")) if wrong else loss

    def watched(run: Run) -> None:
        weights.append(digest(run) + digest_of(run.state.model.state_dict()))
        if is_last_at(run, 6):
            begun.append(6)

    with acting(watched), pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "training_loss", spoiling)
        ended = run({**flags, "ema": 0.5}, folder / "back", ranks, recorder, Interrupt())
    return {"ended": ended, "weights": weights, "steps": [each.step for each in recorder.standings]}


def killed(ranks: Together, folder: Path, flags: dict[str, Any]) -> tuple[str, bool]:
    """What the others say of a run whose last rank is killed without a chance to say anything."""
    with acting(lambda run: os.kill(os.getpid(), signal.SIGKILL) if is_last_at(run, 6) else None):
        try:
            train(Request({}, flags), folder / "killed", Watch(Nobody(), Interrupt()), ranks)
        except ResourceError as error:
            return str(error), ranks.tells(error)
    raise AssertionError("nobody was missed")


def run(flags: dict[str, Any], directory: Path, ranks: Together, recorder: Recorder, interrupt: Interrupt) -> Any:
    """One run of all ranks: why it ended, or its exit code."""
    try:
        return train(Request({}, flags), directory, Watch(recorder, interrupt), ranks).reason
    except InterruptedRun as error:
        return error.exit_code


@contextmanager
def acting(act: Callable[[Run], Any]) -> Iterator[None]:
    """Inside, `act` happens after each step, before the ranks agree on whether it was the last."""
    agree = Run.agree

    def watched(self: Run) -> None:
        act(self)
        agree(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "agree", watched)
        yield


def is_last_at(run: Run, step: int) -> bool:
    """Whether this is the last rank, and its run has come to `step`."""
    ranks = run.state.ranks
    return ranks.rank == ranks.world - 1 and run.state.progress.step == step


def digest(run: Run) -> str:
    """All weights in a few characters."""
    return digest_of(run.state.weights())


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """These weights, or what this rank holds of them, in a few characters."""
    held = (x.to_local() if isinstance(x, DTensor) else x for x in weights.values())
    return hashlib.sha256(b"".join(x.numpy().tobytes() for x in held)).hexdigest()
