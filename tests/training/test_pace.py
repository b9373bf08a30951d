"""Stretches of steps and phases, by a clock that goes on only when somebody works, against a count by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from mtcli.data.batches import Batches, Place
from mtcli.data.encoded import Encoded
from mtcli.device import PrecisionName
from mtcli.layout import Batch
from mtcli.model.build import build
from mtcli.model.flops import training_flops
from mtcli.settings import ModelSettings, Recipe, TrainingSettings
from mtcli.training.figures import Stretch, model_flops, share, stretches, throughput, times
from mtcli.training.loop import fit, groups, train_step
from mtcli.training.meter import Meter
from mtcli.training.optimizer import adamw
from mtcli.training.pace import WARM, WINDOWS, Mark, Pace, RememberedBatches
from mtcli.training.phases import Phases, TimedBatches, TimedPrecision
from mtcli.training.precision import Precision
from mtcli.training.state import Progress, TrainState
from tests.checkpoint.examples import identical
from tests.laws import models
from tests.training.test_meter import Clock
from tests.training.tiny import Recorder

CPU = torch.device("cpu")
SECONDS = {"data": 0.5, "forward": 2.0, "backward": 4.0, "optimizer": 1.0}
FIRST = 100.0
"""Seconds that the first step takes beside those of every step."""


def corpus() -> Encoded:
    lengths = [1 + (7 * i) % 9 for i in range(60)]
    return Encoded.of(models.sentences(1, lengths), models.sentences(2, lengths[::-1]))


def settings(accumulate: int) -> TrainingSettings:
    return TrainingSettings(max_tokens=40, accumulate=accumulate, validate_every=2, save_every=3)


def fresh(training: TrainingSettings, precision: PrecisionName = "fp32") -> TrainState:
    torch.manual_seed(3)
    model = build(models.settings(dropout=0.1), models.VOCABULARY, models.VOCABULARY, joint=True)
    return TrainState(model, adamw(model, training), Precision(precision, CPU), Progress(), "")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Each phase takes its seconds, and the first step more."""
    clock = Clock()

    def slow(owner: Any, name: str, seconds: float) -> None:
        work = getattr(owner, name)

        def slowed(*given: Any) -> Any:
            clock.time += seconds
            return work(*given)

        monkeypatch.setattr(owner, name, slowed)

    from_ = Batches.from_

    def slow_batches(self: Batches, *where: Any) -> Iterator[Any]:
        clock.time += FIRST
        for each in from_(self, *where):
            clock.time += SECONDS["data"]
            yield each

    monkeypatch.setattr(Batches, "from_", slow_batches)
    slow(Batch, "to", SECONDS["forward"])  # a batch is copied at the beginning of the forward pass
    slow(Precision, "backward", SECONDS["backward"])
    slow(Precision, "update", SECONDS["optimizer"])
    return clock


def paced(clock: Clock, window: float, accumulate: int) -> tuple[Pace, RememberedBatches, Recorder]:
    training, phases, recorder = settings(accumulate), Phases(clock), Recorder()
    state = fresh(training)
    state.precision = TimedPrecision(state.precision, phases)
    remembered = RememberedBatches(TimedBatches(Batches(corpus(), training.max_tokens, training.seed), phases))
    pace = Pace(Meter(state.progress, training, 10, 1, clock), phases, window, recorder, clock)
    fit(state, remembered, training, pace)
    return pace, remembered, recorder


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("window", [0.0, 7.5, 30.0])
def test_stretches_end_when_it_is_time(window: float, accumulate: int, clock: Clock) -> None:
    each = accumulate * (7.5 - SECONDS["optimizer"]) + SECONDS["optimizer"]
    steps = max(1, -int(-window // each))
    pace, remembered, _ = paced(clock, window, accumulate)
    counts = [mark.steps for mark in pace.marks]
    assert counts == [0, 1, *(1 + steps * number for number in range(1, WINDOWS + 3))]
    assert [mark.batches for mark in pace.marks] == [accumulate * count for count in counts]
    assert len(remembered.shapes) == pace.marks[-1].batches
    windows, look = stretches(pace.marks, remembered.shapes)
    assert len(windows) == WINDOWS
    assert [stretch.seconds for stretch in (*windows, look)] == [steps * each] * (WINDOWS + 1)
    assert pace.marks[1].seconds - pace.marks[0].seconds == FIRST + each


@pytest.mark.parametrize("accumulate", [1, 3])
def test_tokens_are_those_of_the_sentences(accumulate: int, clock: Clock) -> None:
    """Counted anew, sentence by sentence, from the order of the corpus."""
    pace, remembered, _ = paced(clock, 20.0, accumulate)
    windows, _ = stretches(pace.marks, remembered.shapes)
    training, pairs = settings(accumulate), corpus()
    plan = Batches(pairs, training.max_tokens, training.seed)
    order = (batch for epoch in range(99) for _, batch in plan.through(epoch))
    list(islice(order, pace.marks[WARM].batches))
    tokens = targets = places = steps = 0
    for window in windows:
        batches = list(islice(order, window.steps * accumulate))
        sides = [[(len(pairs.source(i)) + 1, len(pairs.target(i)) + 1) for i in batch] for batch in batches]
        assert window.tokens == sum(m + n for side in sides for m, n in side)
        assert window.target_tokens == sum(n for side in sides for _, n in side)
        assert window.places == sum(len(side) * (max(m for m, _ in side) + max(n for _, n in side)) for side in sides)
        flops = training_flops(models.settings(), 50, *zip(*(pair for side in sides for pair in side), strict=True))
        assert window.model_flops(models.settings(), 50) == flops
        tokens, targets, places = tokens + window.tokens, targets + window.target_tokens, places + window.places
        steps += window.steps
    found = throughput(windows)
    assert found["padding"] == 1 - tokens / places
    assert 0.02 < found["padding"] < 0.9
    assert found["target_tokens_per_step"] == targets / steps
    rates = [window.tokens / window.seconds for window in windows]
    assert found["tokens_per_second"] == {"median": np.median(rates), "low": min(rates), "high": max(rates)}


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_time_of_each_phase_is_found(accumulate: int, clock: Clock) -> None:
    pace, remembered, _ = paced(clock, 20.0, accumulate)
    _, look = stretches(pace.marks, remembered.shapes)
    found = times(look, pace.phases)
    once = {name: seconds * (1 if name == "optimizer" else accumulate) for name, seconds in SECONDS.items()}
    assert found == pytest.approx({**{name: x / sum(once.values()) for name, x in once.items()}, "other": 0})
    assert sum(found.values()) == pytest.approx(1)


def test_what_no_phase_has_is_other() -> None:
    phases = Phases(Clock())
    phases.seconds["forward"] = 3.0
    found = times(Stretch(12.0, 1, 1, 1, []), phases)
    assert found == {"data": 0, "forward": 0.25, "backward": 0, "optimizer": 0, "other": 0.75}


def test_who_does_not_look_leaves_the_clock_alone() -> None:
    looks = []

    def clock() -> float:
        looks.append(1)
        return 0.0

    phases = Phases(clock)
    with phases.during("data"):
        pass
    assert (looks, sum(phases.seconds.values())) == ([], 0)
    phases.looking = True
    with phases.during("data"):
        pass
    assert len(looks) == 2


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("looking", [True, False])
def test_to_look_changes_no_bit(precision: PrecisionName, looking: bool) -> None:
    training = settings(2)
    plain, watched = fresh(training, precision), fresh(training, precision)
    phases = Phases(Clock())
    phases.looking = looking
    watched.precision = TimedPrecision(watched.precision, phases)
    weights = []
    for state in (plain, watched):
        torch.manual_seed(1)
        batches: Any = Batches(corpus(), training.max_tokens, training.seed)
        stream = batches if state is plain else RememberedBatches(TimedBatches(batches, phases))
        for group in islice(groups(stream.from_(Place()), 2), 5):
            train_step(state, group, training)
        weights.append(state.weights())
    assert identical(*weights)
    assert plain.progress == watched.progress


def test_standings_are_shown_about_once_a_second(clock: Clock) -> None:
    pace, _, recorder = paced(clock, 20.0, 1)
    assert [standing.step for standing in recorder.standings] == list(range(1, pace.done.steps + 1))
    assert all(standing.remaining is None for standing in recorder.standings)
    assert len(recorder.said) == 1
    assert "the first step took 107.5 s" in recorder.said[0]


def test_the_share_of_the_peak_is_the_median_of_the_windows() -> None:
    marks = [Mark(0.0), Mark(1.0, 1, 1), *(Mark(2.0 + t, 2 + i, 2 + i, 9 * i) for i, t in enumerate((0, 1, 3, 7)))]
    windows, look = stretches(marks, [])
    assert [window.seconds for window in (*windows, look)] == [1, 2, 4]
    found = share([300, 400], windows, best=100.0, processors=2)
    assert found["model_flops"] == 700
    assert found["flops_per_second"] == np.median([300 / 1, 400 / 2])
    assert found["share_of_matmul_peak"] == 250 / 200


def test_there_is_a_formula_for_transformers_with_full_attention_only() -> None:
    assert model_flops([Stretch(1.0, 1, 1, 1, [])], Recipe(), 9) == [0]
    assert model_flops([], Recipe(model=ModelSettings(architecture="recurrent")), 9) is None
