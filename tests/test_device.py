"""Which device and precision are chosen, as far as that is decided here; the machine's answers are made up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from mtcli import device
from mtcli.device import choose_device, choose_precision, use_processor
from mtcli.errors import UsageError
from mtcli.kernels.packed import multiplies_bf16

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def linux(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Linux machine whose user says nothing about oneDNN; whatever is decided is forgotten afterwards."""
    before = os.environ.pop("ONEDNN_MAX_CPU_ISA", None)
    monkeypatch.setattr("sys.platform", "linux")
    yield
    os.environ.pop("ONEDNN_MAX_CPU_ISA", None)
    if before is not None:
        os.environ["ONEDNN_MAX_CPU_ISA"] = before


def answers(monkeypatch: pytest.MonkeyPatch, *speedups: float | None) -> list[float | None]:
    """Trials find these, one after the other."""
    waiting = list(speedups)
    monkeypatch.setattr(device, "trial", lambda: waiting.pop(0))
    return waiting


@pytest.mark.parametrize(
    ("speedups", "expected", "limited"),
    [
        ((3.0,), "bf16", False),
        ((1.2,), "fp32", False),
        ((0.2,), "fp32", False),
        ((None, 2.0), "bf16", True),
        ((None, 0.3), "fp32", True),
        ((None, None), "fp32", True),
    ],
)
def test_auto_takes_bf16_where_a_trial_shows_it_to_be_fast(
    speedups: tuple[float | None, ...], expected: str, limited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = answers(monkeypatch, *speedups)
    assert choose_precision("auto", CPU) == expected
    assert waiting == []
    assert ("ONEDNN_MAX_CPU_ISA" in os.environ) == limited


def test_bf16_is_refused_where_it_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, None, None)
    with pytest.raises(UsageError, match="cannot compute in bf16"):
        choose_precision("bf16", CPU)


def test_slow_bf16_is_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, 0.2)
    assert choose_precision("bf16", CPU) == "bf16"


def test_what_the_user_says_about_onednn_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    waiting = answers(monkeypatch, None, 9.0)
    assert choose_precision("auto", CPU) == "fp32"
    assert waiting == [9.0]
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_no_trial_where_nothing_is_to_be_decided(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    assert choose_precision(name, CPU) == name


def test_elsewhere_nothing_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    monkeypatch.setattr("sys.platform", "darwin")
    assert choose_precision("auto", CPU) == "fp32"


def test_a_trial_that_dies_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "matmul_seconds", lambda precision: os.kill(os.getpid(), signal.SIGKILL))
    assert device.trial() is None


def test_a_trial_that_fails_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "matmul_seconds", lambda precision: 1 / 0)
    assert device.trial() is None


def test_a_trial_reports_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "matmul_seconds", lambda precision: {"fp32": 3.0, "bf16": 2.0}[precision])
    assert device.trial() == 1.5


@pytest.mark.parametrize("supported", [True, False])
def test_auto_on_a_gpu(supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert choose_precision("auto", torch.device("cuda")) == ("bf16" if supported else "fp32")


@pytest.mark.parametrize(("cuda", "mps", "expected"), [(1, 1, "cuda"), (1, 0, "cuda"), (0, 1, "mps"), (0, 0, "cpu")])
def test_auto_device(cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: bool(mps))
    assert choose_device("auto").type == expected


@pytest.mark.parametrize(
    "name", ["cuda", "cuda:0", "cuda:7", "mps", "xpu", "meta", "gpu", "", "cuda:x", "cpu:-1", "é"]
)
def test_a_device_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError):
        choose_device(name)


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    use_processor(0)
    use_processor(3)
    assert given == [3]


GROWTH = """
import torch
from mtcli.device import use_processor
use_processor(1)
matrix = torch.zeros(512, 256, dtype=torch.bfloat16)
def taken(first):
    for rows in range(first, first + 200):
        torch.nn.functional.linear(torch.zeros(rows, 256, dtype=torch.bfloat16), matrix)
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * 4096 / 1e6
print(taken(400), taken(600), taken(800))
"""


@pytest.mark.skipif(not multiplies_bf16(), reason="this processor has no instructions for bf16")
def test_products_of_ever_new_shapes_take_no_more_memory() -> None:
    """Each shape has code of its own, which is not kept for ever."""
    said = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True).stdout
    first, *later = map(float, said.split())
    assert max(later) < first + 100, "a thousand are kept by default: 300 MB more"
