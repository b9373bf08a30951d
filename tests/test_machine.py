"""What is said of the machine, by a clock that nobody has to wait for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mtcli import machine

CPU = torch.device("cpu")


class Ticks:
    """A clock that goes on by the given seconds whenever it is read, and then by the last of them."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = list(seconds)
        self.time = 100.0

    def __call__(self) -> float:
        self.time += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        return self.time


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_fastest_product_counts(precision: str) -> None:
    # It begins; each of three products takes the time between two looks; after the third it looks once more.
    clock = Ticks(1, 0, 5, 0, 2, 0, 4, 1)
    assert machine.matmul_rate(precision, CPU, clock, size=16) == 2 * 16**3 / 2


def test_products_go_on_until_it_was_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[torch.Tensor] = []
    real = machine.operands

    def watched(*given):
        multiply, a, b = real(*given)
        return (lambda *pair: done.append(multiply(*pair))), a, b

    monkeypatch.setattr(machine, "operands", watched)
    machine.matmul_rate("fp32", CPU, Ticks(machine.LONG_ENOUGH / 20), size=16)
    assert 7 <= len(done) <= 11  # three looks in each turn but the first ones


def test_products_are_those_of_the_numbers() -> None:
    torch.manual_seed(1)
    multiply, a, b = machine.operands("int8", CPU, 32)
    assert (a.dtype, b.dtype) == (torch.int8, torch.int8)
    assert torch.equal(multiply(a, b).long(), a.long() @ b.long())
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        multiply, a, b = machine.operands(precision, CPU, 32)
        assert multiply(a, b).dtype == a.dtype == b.dtype == dtype


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_one_thread_multiplies_and_the_others_come_back() -> None:
    seen = []

    def clock() -> float:
        seen.append(torch.get_num_threads())
        return float(len(seen))

    machine.matmul_rate("fp32", CPU, clock, size=16)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


def test_the_clock_does_not_wait_for_a_processor_and_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    assert machine.now(CPU) <= machine.now(CPU)
    assert waited == []
    machine.now(torch.device("cuda:1"))
    assert waited == [torch.device("cuda:1")]


def test_the_processor_has_a_name() -> None:
    assert machine.processor_name(CPU).strip()


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell")


@linux
def test_memory_that_was_given_back_counts_and_so_does_that_of_children(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "held = b'x' * 80_000_000; del held; print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as child:
        monkeypatch.setattr(machine.multiprocessing, "active_children", lambda: [child])
        child.stdout.readline()
        found = machine.peak_memory(CPU)
        child.communicate(b"\n")
    (of_child,) = found["workers"]
    assert 80_000_000 < of_child < 160_000_000
    assert 0 < found["this_process"] <= machine.resident_peak("self")
    assert found["all"] == found["this_process"] + of_child


def test_a_process_that_is_gone_has_no_figure() -> None:
    assert machine.resident_peak("none") is None


def group(place: Path, **files: str) -> None:
    """A control group: its files, with "_" for the dot in their names."""
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name.replace("_", ".", 1)).write_text(f"{text}\n")


def test_the_free_memory_is_that_of_the_narrowest_group(tmp_path: Path) -> None:
    """As a container (a limit at the top that is visible) and a batch system (one on the way) write them."""
    membership, root = tmp_path / "cgroup", tmp_path / "root"
    membership.write_text("0::/slurm/job/task\n")
    group(root / "slurm/job/task", memory_max="max", memory_current="100", memory_stat="anon 1\ninactive_file 30")
    group(root / "slurm/job", memory_max="1000", memory_current="300", memory_stat="anon 1\ninactive_file 50")
    assert [*machine.allowances(membership, root)] == [750]
    group(root, memory_max="800", memory_current="300", memory_stat="anon 1")
    assert [*machine.allowances(membership, root)] == [750, 500]


def test_groups_of_the_first_version(tmp_path: Path) -> None:
    membership, root = tmp_path / "cgroup", tmp_path / "root"
    membership.write_text("9:name=systemd:/\n4:cpu,memory:/docker/x\n3:cpuset:/\n")
    (root / "memory").mkdir(parents=True)
    (root / "memory" / "memory.limit_in_bytes").write_text("1000\n")
    (root / "memory" / "memory.usage_in_bytes").write_text("400\n")
    (root / "memory" / "memory.stat").write_text("cache 7\ninactive_file 3\ntotal_inactive_file 20\n")
    assert [*machine.allowances(membership, root)] == [620]
    assert [*machine.allowances(tmp_path / "none", root)] == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_the_free_memory_is_some_of_all() -> None:
    everything = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = machine.free_memory()
    assert free is not None
    assert 0 < free < everything
