"""What all measurements tell, and how people read figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def circumstances(device: torch.device) -> dict[str, Any]:
    """On what, and with which versions, something was measured."""
    import platform
    from importlib.metadata import version

    import torch

    from mtcli.machine import processor_name

    return {
        "device": str(device),
        "processor": processor_name(device),
        "threads": torch.get_num_threads(),
        "versions": {
            "mtcli": version("mtcli-nmt"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def spread(found: Mapping[str, float]) -> str:
    """A median, the lowest and the highest."""
    return f"{number(found['median'])} ({number(found['low'])}-{number(found['high'])})"


def in_megabytes(memory: Mapping[str, Any]) -> str:
    """The sum and, with workers, its parts."""
    whole = f"{memory['all'] / 1e6:,.0f} MB"
    if not memory.get("workers"):
        return whole
    parts = " + ".join(f"{part / 1e6:,.0f}" for part in (memory["this_process"], *memory["workers"]))
    return f"{whole} ({parts}, each with the pages that all share)"


def in_percent(work: Mapping[str, Any]) -> str:
    """The share and what it is of."""
    rate, best = work["flops_per_second"] / 1e9, work["matmul_flops_per_second"] / 1e9
    times = f"{work['processors']} x " if work["processors"] > 1 else ""
    return f"{100 * work['share_of_matmul_peak']:.1f} % ({number(rate)} of {times}{number(best)} GFLOP/s)"


def number(value: float) -> str:
    """Three digits, or whole from a hundred on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
