"""Which device computes, with how many threads, and in which precision it is fastest."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from contextlib import suppress
from typing import Literal, cast

import torch

from mtcli.errors import UsageError

PrecisionName = Literal["fp32", "bf16", "fp16"]
DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda`, `cuda:N` or `mps` stands for; `UsageError` if it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"there is no device called {name!r}", "choose auto, cpu, cuda, cuda:N or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"device {name!r} is not supported", "choose auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"this machine has no device {name!r}", f"it has {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("this machine has no device 'mps'")
    return device


def use_processor(threads: int) -> None:
    """Compute with this many processor threads, 0 leaving PyTorch's choice, and keep freed memory for reuse.

    To be called before anything is computed.
    """
    if threads:
        torch.set_num_threads(threads)
    for cache in CACHES:
        os.environ.setdefault(cache, str(PRODUCTS))
    if sys.platform.startswith("linux"):
        # glibc returns the top of its heap to the kernel after each step, and gets it back page by page: a tenth of a
        # training step. Setting one threshold freezes the other, so both are set. Other C libraries have no mallopt.
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
            library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""oneDNN, and what joins it to PyTorch, keep the code that they generate for products of each shape: a thousand."""
PRODUCTS = 32
"""As many as equal layers share in either direction. Hardly any comes again in another step, as the shapes of batches
differ; in bf16 each takes 0.8 MB, and a training of 90 minutes had come to 4.4 GB. `small`, batches of 1,024 tokens,
40 seconds: 1,822 MB with the default, 875 with 64, 760 with 32, at the same speed within the noise of 5 %."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h; 32 MiB is the most that glibc takes for the latter


def choose_precision(name: str, device: torch.device) -> PrecisionName:
    """The precision that `auto` stands for: bf16 where it is fast, else fp32; `UsageError` if it cannot run here."""
    if name == "auto":
        return fastest(device)
    if name == "bf16" and device.type == "cpu" and bf16_speedup() is None:
        raise UsageError("this processor cannot compute in bf16", "use --precision fp32")
    return cast(PrecisionName, name)


def fastest(device: torch.device) -> PrecisionName:
    """bf16 on GPUs that have it and on processors where a trial shows it to be clearly faster than fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        # Outside the large products bf16 costs conversions; below this ratio they eat the gain.
        return "bf16" if (bf16_speedup() or 0) > 1.5 else "fp32"
    return "fp32"


def bf16_speedup() -> float | None:
    """How much faster this processor multiplies in bf16 than in fp32; None if it cannot.

    The trial runs in a child process: virtual machines exist that announce AMX and kill whoever uses it (SIGILL).
    When that happens, oneDNN is told to keep to AVX-512 and the trial is repeated.
    """
    if not sys.platform.startswith("linux"):
        return None
    speedup = trial()
    if speedup is None and "ONEDNN_MAX_CPU_ISA" not in os.environ:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_BF16"
        speedup = trial()
    return speedup


def trial() -> float | None:
    """Fork, multiply in both precisions, and report the ratio of times through a pipe."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(matmul_seconds("fp32") / matmul_seconds("bf16")).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return float(json.loads(answer)) if answer else None


def matmul_seconds(precision: str) -> float:
    """Processor time of the fastest of a few products of the size of a small model's feed-forward layer."""
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    a, b = torch.randn(512, 256).to(DTYPE[precision]), torch.randn(256, 1024).to(DTYPE[precision])
    seconds = []
    for _ in range(6):
        started = time.process_time()
        a @ b
        seconds.append(time.process_time() - started)
    return min(seconds)
