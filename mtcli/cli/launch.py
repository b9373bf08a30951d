"""`mtcli train --gpus N`: N processes on this machine, started and watched by the engine of `torchrun`.

Unlike under `torchrun`, the exit code is that of the training, and signals are passed on without a time limit.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from mtcli.errors import ResourceError

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]
    from torch.distributed.elastic.multiprocessing import PContext

BUG, STOPPED_AT_ONCE = 1, 130
"""Exit codes that say more than what the other processes report thereupon."""


def launch(count: int, arguments: list[str]) -> int:
    """Run `mtcli ARGUMENTS` as `count` ranks of one training; return the exit code that says how it ended."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, start_processes

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    # Held here, it outlives the processes, who ask it which of them is to report an error.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    processes = start_processes(
        "mtcli",
        sys.executable,
        args=dict.fromkeys(range(count), ("-m", "mtcli", *arguments)),
        envs={rank: environment(rank, count, store.port) for rank in range(count)},
        logs_specs=DefaultLogsSpecs(os.devnull),
    )
    with passing_on(processes, before):
        result = processes.wait(period=0.1)
    assert result is not None
    return exit_code({rank: failure.exitcode for rank, failure in result.failures.items()}, store)


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What tells a process that it is a rank, in torchrun's words; together they have a thread for each processor."""
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    values = {**ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
    return {"OMP_NUM_THREADS": threads, **{name: str(value) for name, value in values.items()}}


@contextmanager
def passing_on(processes: PContext, before: Mapping[signal.Signals, object]) -> Iterator[None]:
    """Inside, signals that are not ignored go to all ranks, which are in sessions of their own and hear no Ctrl-C."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes.pids().values():
            with suppress(ProcessLookupError):
                os.kill(process, number)

    for number, handler in before.items():
        signal.signal(number, signal.SIG_IGN if handler is signal.SIG_IGN else pass_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def exit_code(failed: dict[int, int], store: Store) -> int:
    """One exit code for several; `ResourceError` where a process is gone and none has said so."""
    from mtcli.training.distributed import CODE

    codes = set(failed.values())
    for decisive in (BUG, STOPPED_AT_ONCE):
        if decisive in codes:
            return decisive
    if not failed:
        return 0
    if store.check([CODE]):
        return int(store.get(CODE))
    rank, code = next(iter(failed.items()))
    raise ResourceError(
        f"process {rank} of this training ended with exit code {code}", "was it killed, perhaps for want of memory?"
    )
