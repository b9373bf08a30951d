"""Processes that work beside each other on what this one holds in memory, each with one thread.

PyTorch's threads share every small operation and wait for each other after it; processes share none.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, Generic, TypeVar

import torch

from mtcli.errors import ResourceError

Job = TypeVar("Job")
Result = TypeVar("Result")


SECONDS = 5
"""To wait for the thread that looks after workers that are no more."""


class Workers(Generic[Job, Result]):
    """`count` copies of this process, made at the first job, that see the model as it is then."""

    def __init__(self, work: Callable[[Job], Result], count: int) -> None:
        self.work = work
        self.count = count
        self.pool: ProcessPoolExecutor | None = None

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """The results, in the order of the jobs; raises `ResourceError` if a worker dies."""
        pool = self.pool = self.pool or self.forked()
        try:
            yield from pool.map(done, jobs)
        except BrokenProcessPool as error:
            hint = "was it killed for want of memory? a smaller --batch-tokens or fewer --workers take less"
            raise ResourceError("a worker process died", hint) from error

    def forked(self) -> ProcessPoolExecutor:
        """The processes."""
        Inherited.work = self.work
        context = multiprocessing.get_context("fork")
        return ProcessPoolExecutor(self.count, mp_context=context, initializer=prepare)

    def close(self) -> None:
        """End the processes, and what they are still at."""
        if self.pool:
            workers = [*(self.pool._processes or {}).values()]  # Python 3.14 has kill_workers
            manager: Any = self.pool._executor_manager_thread  # typeshed takes it for something else
            self.pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.kill()
            if manager:  # else Python, when it ends, might wake it by a pipe that it is just closing
                manager.join(SECONDS)


class Inherited:
    """What a fork leaves in the new process' memory: models are not sent through a pipe."""

    work: Callable[[Any], Any]


def prepare() -> None:
    """Make a new worker: one thread, deaf to Ctrl-C, which its parent hears too, and no longer alive than that."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


PR_SET_PDEATHSIG = 1  # linux/prctl.h


def done(job: Any) -> Any:
    """The result of one job, in a worker."""
    return Inherited.work(job)


def possible() -> bool:
    """Whether this system can fork; macOS can, but its libraries do not survive it."""
    return sys.platform.startswith("linux")
