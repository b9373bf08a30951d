"""Time and memory of one attention layer at one length, as a line of JSON; `length.py` starts it for each point.

    python benchmarks/length_one.py --mechanism full --length 1024 [--settings '{"window": 32}'] [--unfused]

The peak is what the forward and backward pass add to the memory that the process has with the layer and its input in
place, after a first pass over a few tokens that loads libraries.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mtcli import catalog
from mtcli.device import use_processor
from mtcli.layout import Attend, Rows
from mtcli.model.attention.multihead import MultiHeadAttention
from mtcli.model.position import Position
from mtcli.settings import ModelSettings

FEW = 64
"""Tokens of the first pass."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mechanism", required=True)
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--settings", type=json.loads, default={}, help="of the model, as JSON")
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("--unfused", action="store_true", help="forbid PyTorch the kernels that store no matrix")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="begin no repeat after this time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    use_processor(args.threads)
    torch.manual_seed(1)
    settings, device = ModelSettings(**args.settings), torch.device(args.device)
    mechanism = catalog.load("attention", args.mechanism).of(settings)
    layer = MultiHeadAttention(settings.model_dim, settings.heads, mechanism, Position()).to(device)
    x = torch.randn(1, args.length, settings.model_dim, device=device, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH) if args.unfused else nullcontext():
        there_and_back(layer, x[:, :FEW].detach().requires_grad_(), args.causal)
        with Memory(device) as memory:
            timings = [there_and_back(layer, x, args.causal)]
        started = time.perf_counter()
        while len(timings) < args.repeats and time.perf_counter() - started < args.seconds:
            timings.append(there_and_back(layer, x, args.causal))
    forward, backward = zip(*timings, strict=True)
    print(json.dumps({"forward": forward, "backward": backward, "peak_mb": memory.added / 2**20}))


def there_and_back(layer: MultiHeadAttention, x: Tensor, causal: bool) -> tuple[float, float]:
    """Seconds of a forward and a backward pass."""
    layer.zero_grad(set_to_none=True)
    x.grad = None
    rows = Rows(torch.tensor([x.shape[1]], device=x.device), x.shape[1])
    begun = now(x.device)
    y = layer(x, Attend(rows, rows, causal))
    between = now(x.device)
    y.backward(torch.ones_like(y))
    return between - begun, now(x.device) - between


def now(device: torch.device) -> float:
    """The clock, when the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Memory(AbstractContextManager["Memory"]):
    """Bytes by which the memory in use rises within a block, at its highest."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> Memory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
        else:
            reset_peak()
            self.before = resident()
        return self

    def __exit__(self, *exception: object) -> None:
        cuda = self.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(self.device) if cuda else highest()
        self.added = max(0, peak - self.before)


def reset_peak() -> None:
    """Let the kernel forget the highest memory so far; Linux only."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident() -> int:
    """Bytes in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def highest() -> int:
    """Bytes in memory at the peak."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main()
