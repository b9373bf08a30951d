"""Ranks that are processes, exchanging by PyTorch's distributed engine, and how a process joins the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn  # before there is a group: see `together`
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from mtcli.device import choose_device
from mtcli.errors import ResourceError, UsageError, UserError
from mtcli.model.seq2seq import Seq2Seq
from mtcli.training.holding import Holding
from mtcli.training.ranks import Number, Ranks, Result

PATIENCE = timedelta(hours=24)
"""How long ranks wait for the first one to read the corpora; when it dies they hear of it at once."""
STEP = timedelta(minutes=10)
"""How long GPUs wait for each other's gradients: no rank does anything else between the exchanges of a step."""


class Together(Ranks):
    """One of several processes in a default group over main memory (gloo); GPUs add gradients by NCCL."""

    def __init__(self, store: dist.Store) -> None:
        self.store = store
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.gradients: dist.ProcessGroup | None = None

    def device(self, name: str) -> torch.device:
        """The processor if that was asked for, else the GPU that is this rank's; `UsageError` if there is none."""
        if name == "cpu":
            return torch.device(name)
        device, gpus, local = choose_device(name), torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", "0"))
        if device.type != "cuda":
            raise UsageError(
                "this machine has no GPU for several processes", "--device cpu lets them share processors"
            )
        if device.index is not None:
            raise UsageError(
                f"--device {name} is one GPU, and these are {self.world} processes", "give --device cuda"
            )
        if local >= gpus:
            raise UsageError(f"this machine has too few GPUs ({gpus}) for process {local + 1} on it")
        torch.cuda.set_device(local)
        if self.gradients is None:
            self.gradients = cast(dist.ProcessGroup, dist.new_group(backend="nccl", timeout=STEP))
        return torch.device("cuda", local)

    def hold(self, models: Sequence[Seq2Seq[Any]], device: torch.device, shard: bool) -> Holding:
        """Put models of one kind where they compute; ranks divide them among them if they are to `shard`."""
        if not shard:
            return super().hold(models, device, shard)
        from mtcli.training.sharding import Sharded  # what it imports takes most of a second

        return Sharded(self, device, models)

    def lead(self, work: Callable[[], Result]) -> Result:
        """Let the first rank alone do `work`; when it is done, all have its result."""
        result: list[Any] = [work() if self.first else None]
        with exchanging():
            dist.broadcast_object_list(result, src=0)
        return cast(Result, result[0])

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first rank enters first, and the others when it is through: they find what it has prepared."""
        if not self.first:
            self.lead(lambda: None)
        yield
        if self.first:
            self.lead(lambda: None)

    def sum(self, *numbers: Number) -> Sequence[Number]:
        """Each number, summed over the ranks."""
        return combined(numbers, dist.ReduceOp.SUM)

    def most(self, *numbers: Number) -> Sequence[Number]:
        """Each number's largest value at any rank."""
        return combined(numbers, dist.ReduceOp.MAX)

    def interleaved(self, mine: list[Result]) -> list[Result]:
        """One list of what was dealt out: rank r was given the items r, r + world, r + 2 world, ..."""
        hands: list[Any] = [None] * self.world
        with exchanging():
            dist.all_gather_object(hands, mine)
        return [hands[index % self.world][index // self.world] for index in range(sum(map(len, hands)))]

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Give all ranks the values of the first one's tensors: what another kind of machine drew may differ."""
        with exchanging():
            for tensor in tensors:
                dist.broadcast(tensor, src=0, group=self.gradients if tensor.is_cuda else None)

    def seed(self, seed: int, step: int) -> None:
        """Begin the step with a state that seed, step and rank decide: then no rank's state needs to be stored."""
        torch.manual_seed(int(np.random.SeedSequence([seed, step, self.rank]).generate_state(1)[0]))

    def add(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Let every gradient be its sum over the ranks, the same to the last bit at each; return their summed loss.

        All travel in one tensor, and beside them which ranks have them: a gradient that a rank does not have, as when
        it skipped the layer, counts as 0 there; one that no rank has stays None, and the optimizer leaves its
        parameter alone.
        """
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        here = [parameter.grad is not None for parameter in learning]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
        about = loss.new_ones(len(here)) if all(here) else loss.new_tensor(here)
        flat = torch.cat([loss.view(1), about, *(grad.flatten() for grad in grads)])
        with exchanging():
            dist.all_reduce(flat, group=self.gradients)
        total, about, *sums = torch.split(flat, [1, len(here), *(grad.numel() for grad in grads)])
        somewhere = here if all(here) else about.tolist()  # to read them is to wait for the device
        for parameter, grad, present in zip(learning, sums, somewhere, strict=True):
            parameter.grad = grad.view_as(parameter) if present else None
        return total.view(())

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Inside, an exchange that fails because another rank is gone becomes a `ResourceError`.

        PyTorch exchanges in the midst of a pass where the model is divided, and any other fault may come from there
        too: only what names gloo, or the error's type, tells them apart.
        """
        try:
            yield
        except RuntimeError as error:
            if not isinstance(error, dist.DistError) and "gloo" not in str(error):
                raise
            raise gone() from error

    def tells(self, error: UserError) -> bool:
        """Whether this rank is the one to report an error; the launcher asks the store for its exit code."""
        try:
            if self.store.add(TOLD, 1) > 1:
                return False
            self.store.set(CODE, str(error.exit_code))
        except RuntimeError:  # the process that held the store is gone
            pass
        return True


TOLD, CODE = "mtcli/told", "mtcli/code"
"""In the store that all ranks share: how many had an error to report, and the exit code of the first."""


@contextmanager
def joined() -> Iterator[Ranks]:
    """The training that this process belongs to, as `torchrun` and `--gpus` say it in the environment, or alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    store, rank, world = next(rendezvous("env://"))
    with together(store, rank, world) as ranks:
        yield ranks


@contextmanager
def together(store: dist.Store, rank: int, world: int) -> Iterator[Together]:
    """Inside, this process is one rank of a training; leaving it ends the exchanges of the others.

    Functions of torch.distributed.nn have the group that there is when it is imported as a default argument. One that
    they kept would outlive this, with threads that abort the process if they let go of a tensor while Python ends.
    """
    with exchanging():
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=PATIENCE)
    try:
        yield Together(store)
    finally:
        dist.destroy_process_group()


def combined(numbers: Sequence[Number], operation: dist.ReduceOp.RedOpType) -> list[Number]:
    """Each number, combined over the ranks: whole numbers exactly, others in float64."""
    whole = all(isinstance(number, int) for number in numbers)
    tensor = torch.tensor(numbers, dtype=torch.int64 if whole else torch.float64)
    with exchanging():
        dist.all_reduce(tensor, operation)
    values: list[Number] = tensor.tolist()
    return values


@contextmanager
def exchanging() -> Iterator[None]:
    """Inside, a failure means that another process is gone, and becomes a `ResourceError` that says so."""
    try:
        yield
    except RuntimeError as error:
        raise gone() from error


def gone() -> ResourceError:
    """What to say when another process does not answer."""
    return ResourceError(
        "another process of this training ended, and without it the others cannot go on",
        "if it did not say why, it was killed, perhaps for want of memory",
        "the same command goes on from the last checkpoint",
    )
