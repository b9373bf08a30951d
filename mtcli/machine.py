"""What a measurement says of the machine: its processor, its best speed at arithmetic, the memory that was taken."""

from __future__ import annotations

import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtcli.device import DTYPE

Clock = Callable[[], float]
"""Tells seconds."""

LONG_ENOUGH = 0.5
"""Seconds of products among which the fastest is looked for."""


@dataclass(frozen=True)
class Spread:
    """The median of several measurements, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one."""
        return cls(statistics.median(values), min(values), max(values))


def now(device: torch.device) -> float:
    """Seconds on a clock that never goes back, read when the device has done all that it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def processor_name(device: torch.device) -> str:
    """What the maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").split("\n") if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def matmul_rate(precision: str, device: torch.device, clock: Clock, size: int = 0) -> float:
    """Operations per second of a large product in `precision`, which may be int8: the fastest of at least three.

    A multiply-add counts 2. On a processor one thread computes. The size of the matrices is chosen by default such
    that larger ones are no faster; on a processor that others use too, short products find a quiet moment.
    """
    size = size or (512 if device.type == "cpu" else 8192)
    multiply, a, b = operands(precision, device, size)
    seconds: list[float] = []
    with one_thread():
        begun = clock()
        while len(seconds) < 3 or clock() - begun < LONG_ENOUGH:
            started = clock()
            multiply(a, b)
            seconds.append(clock() - started)
    return 2 * size**3 / min(seconds)


def beside_peak(rate: float, best: float, processors: int) -> dict[str, float]:
    """Operations per second beside the `best` that each of the `processors` can do."""
    return {
        "flops_per_second": rate,
        "matmul_flops_per_second": best,
        "processors": processors,
        "share_of_matmul_peak": rate / (best * processors),
    }


def operands(
    precision: str, device: torch.device, size: int
) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]:
    """A product and two square matrices for it."""
    if precision == "int8":
        a, b = (torch.randint(-127, 128, (size, size), dtype=torch.int8, device=device) for _ in range(2))
        return torch._int_mm, a, b.t()  # the order in which int8 weights are stored
    a, b = (torch.randn(size, size, device=device).to(DTYPE[precision]) for _ in range(2))
    return torch.mm, a, b


@contextmanager
def one_thread() -> Iterator[None]:
    """Let a processor compute with one thread for a while."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def free_memory() -> int | None:
    """Bytes of main memory that may still be taken, of the machine and of the groups that confine this process.

    None where the system does not tell: only Linux does.
    """
    facts = Path("/proc/meminfo")
    if not facts.exists():
        return None
    of_all = int(facts.read_text(encoding="utf-8").partition("MemAvailable:")[2].split()[0]) * 1024
    return max(0, min([of_all, *allowances(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]))


def allowances(membership: Path, root: Path) -> Iterator[int]:
    """What each control group that this process is in leaves, up to the outermost: cgroups(7), versions 1 and 2."""
    for line in membership.read_text(encoding="utf-8").strip().split("\n") if membership.exists() else []:
        controllers, _, name = line.partition(":")[2].partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        top, limit, used, cached = (
            (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
            if controllers
            else (root, "memory.max", "memory.current", "inactive_file ")
        )
        for part in (name.lstrip("/"), *map(str, Path(name.lstrip("/")).parents)):
            group = top / part
            with suppress(OSError, ValueError):  # a group that cannot be seen from here, or "max"
                freed = (group / "memory.stat").read_text(encoding="utf-8").partition(f"\n{cached}")[2].split()[:1]
                spent = int((group / used).read_text(encoding="utf-8")) - int((freed or ["0"])[0])
                yield int((group / limit).read_text(encoding="utf-8")) - spent


def peak_memory(device: torch.device) -> dict[str, Any] | None:
    """The most bytes taken so far: on a GPU by PyTorch, else resident in this process and in its living children.

    Pages that processes share count in each of them. None where the system does not tell: only Linux does.
    """
    if device.type == "cuda":
        return {"all": torch.cuda.max_memory_allocated(device)}
    own = resident_peak("self")
    if own is None:
        return None
    pids = [str(child.pid) for child in multiprocessing.active_children()]
    workers = [peak for pid in pids if (peak := resident_peak(pid)) is not None]
    return {"all": own + sum(workers), "this_process": own, "workers": workers}


def resident_peak(process: str) -> int | None:
    """The most bytes of a process, by number or "self", that were ever in memory at once."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return None
    return int(status.read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) * 1024
