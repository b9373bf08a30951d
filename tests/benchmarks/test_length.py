"""Exponents, where a mechanism stops, and the layers that are measured."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from length import Point, beyond, exponent, row_of, settings_of
from length_one import Memory, there_and_back

from mtcli import catalog
from mtcli.model.attention.multihead import MultiHeadAttention
from mtcli.model.position import Position
from mtcli.settings import ModelSettings

LENGTHS = [2.0**power for power in range(7, 16)]


@given(power=st.floats(0.1, 3), factor=st.floats(1e-9, 1e3))
def test_the_exponent_of_a_power_is_found(power: float, factor: float) -> None:
    assert exponent([(n, factor * n**power) for n in LENGTHS]) == pytest.approx(power)


def test_only_the_upper_half_counts() -> None:
    assert exponent([(n, 5.0 if n < 2000 else n**2) for n in LENGTHS]) == pytest.approx(2)


def test_the_line_is_the_one_with_the_least_squares() -> None:
    curve = [(n, n * (1.5 if place % 2 else 1.0)) for place, n in enumerate(LENGTHS)]
    upper = curve[len(curve) // 2 :]

    def error(slope: float) -> float:
        residues = [math.log(y) - slope * math.log(x) for x, y in upper]
        mean = sum(residues) / len(residues)
        return sum((residue - mean) ** 2 for residue in residues)

    best = exponent(curve)
    assert error(best) < min(error(best - 1e-3), error(best + 1e-3))


def points(*figures: tuple[float, float]) -> list[Point]:
    return [Point(128 << place, seconds, 0.0, mb, {}) for place, (seconds, mb) in enumerate(figures)]


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ([(100.0, 9e9)], None),
        ([(1.0, 1.0), (2.0, 1.0)], None),
        ([(1.0, 1.0), (4.0, 1.0)], "16 s"),
        ([(1.0, 1024.0), (1.0, 4096.0)], "16.0 GB"),
        ([(1.0, 0.01), (1.0, 10.0)], None),
        ([(1.0, 0.0), (1.0, 0.0)], None),
    ],
)
def test_a_mechanism_stops_before_it_grows_out_of_the_limits(
    figures: list[tuple[float, float]], expected: str | None
) -> None:
    assert beyond(points(*figures), seconds=10.0, peak_mb=8192.0) == expected


def test_a_row_has_the_exponents_beside_those_of_the_papers() -> None:
    row = row_of("full", [Point(int(n), n**2 / 2, n**2 / 2, n, {}) for n in LENGTHS])
    assert (row["time grows with n to the"], row["in theory"]) == ("2.00", "2")
    assert row["memory grows with n to the"] == "1.00"


@pytest.mark.parametrize("kind", catalog.ATTENTION)
@pytest.mark.parametrize("length", [100, 128])
def test_every_mechanism_goes_there_and_back(kind: str, length: int) -> None:
    settings = ModelSettings(**settings_of(kind, 128, 16, 2))
    layer = MultiHeadAttention(16, 2, catalog.load("attention", kind).of(settings), Position())
    x = torch.randn(1, length, 16, requires_grad=True)
    forward, backward = there_and_back(layer, x, causal=False)
    assert min(forward, backward) > 0
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_memory_is_what_a_block_adds_at_its_peak() -> None:
    with Memory(torch.device("cpu")) as memory:
        torch.ones(8 << 20)  # 32 MB of fp32, freed at once
    assert 31 << 20 < memory.added < 48 << 20
