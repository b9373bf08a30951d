"""Random numbers that are a function of what they are for: no generator, no state, the same on every device.

The numbers of one purpose have a 64-bit key; a key splits into any number of others, as the states of SplitMix64 do
(Steele et al. 2014). int64 arithmetic wraps around, as the algorithm wants.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15 - 2**64
FIRST = 0xBF58476D1CE4E5B9 - 2**64
SECOND = 0x94D049BB133111EB - 2**64
"""The constants of SplitMix64, as int64."""


def keys_of(seeds: Sequence[int], device: torch.device) -> Int[Tensor, " b"]:
    """One key for each seed; seeds that are equal modulo 2**64 are the same."""
    return torch.tensor([(seed + 2**63) % 2**64 - 2**63 for seed in seeds], device=device, dtype=torch.int64)


def split(keys: Int[Tensor, "*k"], count: int) -> Int[Tensor, "*k n"]:
    """The first `count` of the keys that each key holds."""
    numbers = torch.arange(1, count + 1, device=keys.device)
    bits = keys[..., None] + numbers * GOLDEN
    bits = (bits ^ shifted(bits, 30)) * FIRST
    bits = (bits ^ shifted(bits, 27)) * SECOND
    return bits ^ shifted(bits, 31)


def shifted(bits: Int[Tensor, "*k"], places: int) -> Int[Tensor, "*k"]:
    """The bits moved to the right, zeros moving in (`>>` alone would copy the sign)."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def gumbel(keys: Int[Tensor, " n"], count: int) -> Float[Tensor, "n v"]:
    """`count` numbers per key from the standard Gumbel distribution, all finite."""
    # A float is finest near 0, so that is where the large, rare values come from.
    uniforms = shifted(split(keys, count), 11).float() * 2.0**-53
    exponential = -torch.log1p(-uniforms.clamp(2.0**-60, 1 - 2.0**-24))
    return -exponential.log()
