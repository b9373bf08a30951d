"""The eager engine with compiled blocks: each is a few fused kernels, for half a minute of compiling at the start."""

from __future__ import annotations

from mtcli.model.transformer import DecoderBlock, EncoderBlock
from mtcli.training.engine import Eager
from mtcli.training.state import TrainState


def compiled(state: TrainState) -> Eager:
    """The engine, after the blocks of the model that learns have been marked for compiling at their first use."""
    for module in state.model.modules():
        if isinstance(module, EncoderBlock | DecoderBlock):
            module.compile()
    return Eager()
