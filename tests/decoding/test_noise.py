"""Random numbers out of keys: known values, the right distribution, no dependence."""

from __future__ import annotations

import torch
from scipy.stats import chisquare, gumbel_r, kstest

from mtcli.decoding.noise import gumbel, keys_of, split

CPU = torch.device("cpu")


def splitmix64(seed: int, count: int) -> list[int]:
    """Sebastiano Vigna's public-domain C code in unbounded integers."""
    mask, outputs = 2**64 - 1, []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        outputs.append(z ^ (z >> 31))
    return outputs


def test_splitting_is_splitmix64():
    for seed in (0, 1, 1234567, 2**63, 2**64 - 1):
        found = split(keys_of([seed], CPU), 100)[0].tolist()
        assert [bits % 2**64 for bits in found] == splitmix64(seed, 100)
    assert splitmix64(1234567, 2) == [6457827717110365317, 3203168211198807973]  # as Rosetta Code has them


def test_keys_split_alike_alone_and_together():
    keys = keys_of(range(6), CPU).view(2, 3)
    together = split(keys, 5)
    assert together.shape == (2, 3, 5)
    assert torch.equal(split(keys[1, 2], 3), together[1, 2, :3])


def test_noise_follows_the_gumbel_distribution_along_and_across_keys():
    numbers = gumbel(split(keys_of([7], CPU), 300)[0], 300)
    assert numbers.isfinite().all()
    for sample in (numbers.flatten(), numbers[0], numbers[:, 0]):
        assert kstest(sample.numpy(), gumbel_r.cdf).pvalue > 1e-3


def test_neighbouring_keys_are_independent():
    """A table of quartiles of numbers one row apart, and one column apart."""
    numbers = gumbel(split(keys_of([3], CPU), 400)[0], 400)
    quartiles = (gumbel_r.cdf(numbers.numpy()) * 4).astype(int)
    for left, right in ((quartiles[1:], quartiles[:-1]), (quartiles[:, 1:], quartiles[:, :-1])):
        pairs = torch.from_numpy(left * 4 + right).flatten().bincount(minlength=16)
        assert chisquare(pairs.numpy()).pvalue > 1e-3
