"""Learning rates equal the formulas of the papers, rise and fall without a jump, and never leave their bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcli import catalog
from mtcli.settings import TrainingSettings
from mtcli.training.schedule import learning_rate

STEPS = st.integers(1, 10**6)
PLANS = st.builds(
    lambda schedule, lr, warmup, more: TrainingSettings(
        schedule=schedule, lr=lr, warmup_steps=warmup, decay_steps=warmup + more
    ),
    st.sampled_from(list(catalog.SCHEDULE)),
    st.floats(1e-6, 10),
    st.integers(0, 10**5),
    st.integers(1, 10**6),
)


@given(step=STEPS, model_dim=st.integers(1, 4096), warmup=st.integers(1, 10**5))
def test_inverse_sqrt_is_the_rate_of_the_transformer_paper(step: int, model_dim: int, warmup: int) -> None:
    """Vaswani et al. 2017, eq. 3, whose peak is at `warmup`."""
    noam = model_dim**-0.5 * min(step**-0.5, step * warmup**-1.5)
    settings = TrainingSettings(lr=(model_dim * warmup) ** -0.5, warmup_steps=warmup)
    assert learning_rate(step, settings) == pytest.approx(noam, rel=1e-9)


@given(step=STEPS, warmup=st.integers(0, 1000), length=st.integers(1, 10**5))
def test_cosine_is_the_annealing_of_its_paper(step: int, warmup: int, length: int) -> None:
    """Loshchilov & Hutter 2017 (SGDR), eq. 5, one period long with a least rate of 0."""
    settings = TrainingSettings(schedule="cosine", lr=2.0, warmup_steps=warmup, decay_steps=warmup + length)
    current = min(max(step - warmup, 0), length)
    annealed = 0.5 * 2.0 * (1 + math.cos(current / length * math.pi))
    assert learning_rate(step, settings) == pytest.approx(annealed * min(1, step / max(1, warmup)), abs=1e-12)


@given(step=STEPS, warmup=st.integers(0, 1000), length=st.integers(1, 10**5))
def test_linear_is_a_straight_line(step: int, warmup: int, length: int) -> None:
    settings = TrainingSettings(schedule="linear", lr=2.0, warmup_steps=warmup, decay_steps=warmup + length)
    line = 2.0 * (warmup + length - step) / length
    rise = 2.0 * step / max(1, warmup)
    assert learning_rate(step, settings) == pytest.approx(max(0.0, min(rise, line, 2.0)), abs=1e-12)


@given(step=STEPS, warmup=st.integers(0, 1000))
def test_constant_is_constant_after_the_rise(step: int, warmup: int) -> None:
    settings = TrainingSettings(schedule="constant", lr=2.0, warmup_steps=warmup)
    assert learning_rate(step, settings) == pytest.approx(2.0 * min(1, step / max(1, warmup)))


@given(step=STEPS, settings=PLANS)
def test_a_rate_is_never_negative_nor_above_its_peak(step: int, settings: TrainingSettings) -> None:
    assert 0 <= learning_rate(step, settings) <= settings.lr


@given(settings=PLANS)
def test_the_peak_is_where_the_rise_ends(settings: TrainingSettings) -> None:
    top = max(1, settings.warmup_steps)
    if settings.warmup_steps or settings.schedule == "constant":
        assert learning_rate(top, settings) == settings.lr
    before, after = (learning_rate(max(1, top + offset), settings) for offset in (-1, 1))
    steepest = max(1 / top, 2 / max(1, settings.decay_steps - settings.warmup_steps))
    assert abs(learning_rate(top, settings) - before) <= settings.lr * steepest * 1.001
    assert abs(learning_rate(top, settings) - after) <= settings.lr * steepest * 1.001


@given(settings=PLANS, beyond=st.integers(0, 10**6))
def test_planned_schedules_end_at_zero(settings: TrainingSettings, beyond: int) -> None:
    if settings.schedule in catalog.PLANNED_SCHEDULES:
        assert learning_rate(settings.decay_steps + beyond, settings) == 0
        assert learning_rate(max(1, settings.decay_steps - 1), settings) >= 0


@given(settings=PLANS, step=st.integers(1, 10**5))
def test_after_the_rise_no_rate_is_above_an_earlier_one(settings: TrainingSettings, step: int) -> None:
    first = settings.warmup_steps + step
    assert learning_rate(first + 1, settings) <= learning_rate(first, settings)
