"""Functions that are called again and again with the same tensors: on CUDA graphs, elsewhere as they are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Function = Callable[[], Float[Tensor, "*n"]]
"""Reads and writes tensors that it knows, which stay where they are, and never asks for one of their values."""

Record = Callable[[Function], tuple[Float[Tensor, "*n"], Function]]
"""Calls a function, and returns its result and what does the same when it is called from now on."""


def recorder(device: torch.device) -> Record:
    """What records on a device."""
    return Graphs(device) if device.type == "cuda" else as_it_is


def as_it_is(function: Function) -> tuple[Float[Tensor, "*n"], Function]:
    """The plain twin: nothing is recorded."""
    return function(), function


class Graphs:
    """Records CUDA graphs, whose kernels the driver launches at once: `torch.cuda.graphs` describes the rules.

    What a library makes at its first call, such as a workspace, must be there before: functions are called once or
    more before they are recorded. The result of one holds until it is called again.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    # A generator that first sees a graph in inference mode can be in none outside (PyTorch issue 166792).
    @torch.inference_mode(False)
    @torch.no_grad()
    def __call__(self, function: Function) -> tuple[Float[Tensor, "*n"], Function]:
        """Call the function on the stream of recording, then record it, which computes nothing."""
        with torch.cuda.device(self.device):
            here = torch.cuda.current_stream()
            self.stream.wait_stream(here)
            with torch.cuda.stream(self.stream):
                result = function()
            here.wait_stream(self.stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream):
                recorded = function()

        def replay() -> Float[Tensor, "*n"]:
            graph.replay()
            return recorded

        return result, replay
