"""What a run says of its time, by a clock that goes on only when somebody works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtcli.checkpoint import store
from mtcli.data.batches import Batches
from mtcli.evaluation import Score
from mtcli.settings import TrainingSettings
from mtcli.training import loop
from mtcli.training.meter import Meter, multiples
from mtcli.training.observer import Validation
from mtcli.training.run import Run
from mtcli.training.state import Progress
from mtcli.training.validate import Validator
from tests.training.tiny import Trained, run, wishes

DATA, STEP, VALIDATION, SAVING = 0.25, 2.0, 30.0, 7.0
"""Seconds of a batch, of what follows in a step, of a validation and of a save."""


class Clock:
    """Stands still until work is done."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Batches, steps, validations and saves take their time, and nothing else does; no validation finds a best."""
    clock = Clock()

    def slow(owner: Any, name: str, seconds: float) -> None:
        work = getattr(owner, name)

        def slowed(*given: Any) -> Any:
            result = work(*given)
            clock.time += seconds
            return result

        monkeypatch.setattr(owner, name, slowed)

    from_ = Batches.from_

    def slow_batches(*given: Any) -> Iterator[Any]:
        for each in from_(*given):
            clock.time += DATA
            yield each

    monkeypatch.setattr(Batches, "from_", slow_batches)
    slow(loop, "train_step", STEP)
    slow(store, "save", SAVING)
    monkeypatch.setattr("mtcli.training.run.Meter", lambda *given: Meter(*given, clock=clock))
    verdict = Validation(float("nan"), [Score("BLEU", 9.0, "signed", None, "")], [], VALIDATION)
    monkeypatch.setattr(Validator, "__call__", lambda self, state: verdict)
    slow(Validator, "__call__", VALIDATION)
    return clock


def timed_wishes(corpora: Path, **changes: Any) -> dict[str, Any]:
    return wishes(corpora, metric="loss", **{"patience": 0, **changes})


@pytest.fixture
def ends(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When standings were taken."""
    taken: list[float] = []
    report = Run.report

    def timed(self: Run, metrics: Any) -> None:
        taken.append(clock.time)
        report(self, metrics)

    monkeypatch.setattr(Run, "report", timed)
    return taken


ENDS: list[dict[str, Any]] = [
    {"max_steps": 20},
    {"max_steps": 23},
    {"max_steps": 0, "max_epochs": 2, "accumulate": 1},
]


@pytest.mark.parametrize("planned", ENDS)
@pytest.mark.parametrize(("validate_every", "save_every"), [(3, 5), (6, 4)])
def test_what_remains_is_the_time_to_the_end_with_breaks(
    planned: dict[str, Any],
    validate_every: int,
    save_every: int,
    clock: Clock,
    ends: list[float],
    corpora: Path,
    tmp_path: Path,
) -> None:
    """From when there was a validation and a save."""
    intervals = {"validate_every": validate_every, "save_every": save_every}
    ended = run(timed_wishes(corpora, **planned, **intervals), tmp_path / "run")
    known = [standing.step > max(validate_every, save_every) for standing in ended.recorder.standings]
    assert sum(known) > 10
    for standing, taken, complete in zip(ended.recorder.standings, ends, known, strict=True):
        assert standing.remaining is not None
        true = clock.time - taken
        if complete and "max_epochs" not in planned:
            assert standing.remaining == pytest.approx(true)
        elif complete:  # how many batches an epoch has, differs a little
            assert standing.remaining == pytest.approx(true, abs=4 * (STEP + 2 * DATA + VALIDATION + SAVING))
        else:
            assert 0 < standing.remaining < true


def test_minutes_are_those_of_the_run_and_the_end_takes_longer(
    clock: Clock, ends: list[float], corpora: Path, tmp_path: Path
) -> None:
    ended = run(timed_wishes(corpora, max_steps=0, max_minutes=4.0, validate_every=4, save_every=4), tmp_path / "run")
    *earlier, last = ended.recorder.standings
    assert last.seconds == 240, "the limit is reached between two validations"
    assert last.remaining == VALIDATION + SAVING == clock.time - ends[-1]
    assert earlier[-1].remaining == 240 - earlier[-1].seconds + VALIDATION + SAVING


def test_tokens_per_second_leave_validations_and_saves_out(clock: Clock, corpora: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtcli.training.run.LOG_STEPS", 6)
        ended = run(
            timed_wishes(corpora, max_steps=18, validate_every=4, save_every=3, accumulate=2), tmp_path / "run"
        )
    before = 0
    for event in ended.events("steps"):
        step = event["step"]
        tokens = tokens_until(ended, step)
        assert event["tokens_per_second"] == pytest.approx((tokens - before) / (6 * (STEP + 2 * DATA)))
        before = tokens


def tokens_until(ended: Trained, step: int) -> int:
    """All source and target tokens of the run so far, as its checkpoint of this step says."""
    resume = ended.checkpoint(step).resume
    assert resume is not None
    tokens: int = resume.values["progress"]["tokens"]
    return tokens


def test_the_log_tells_what_the_time_went_to(clock: Clock, corpora: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtcli.training.run.LOG_STEPS", 10)
        ended = run(timed_wishes(corpora, validate_every=4, save_every=3, keep=20), tmp_path / "run")
    middle, last = ended.events("steps")
    for event, validations, saves in ((middle, 2, 3), (last, 4, 6)):
        steps = event["step"] * (STEP + 2 * DATA)
        seconds = {"steps": steps, "validation": validations * VALIDATION, "saving": saves * SAVING}
        assert event["seconds"] == pytest.approx(sum(seconds.values()))
        assert event["share_of_time"] == pytest.approx({name: x / event["seconds"] for name, x in seconds.items()})
    assert [event["seconds"] for event in ended.events("validation")] == [VALIDATION] * 5


def test_a_process_that_goes_on_judges_by_its_own_time(clock: Clock, corpora: Path, tmp_path: Path) -> None:
    """It may be on another machine."""
    flags = timed_wishes(corpora, validate_every=4, save_every=4)
    run({**flags, "max_steps": 8}, tmp_path / "run")
    slower = 3.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtcli.training.run.Meter", lambda *given: Meter(*given, clock=lambda: slower * clock()))
        begun = clock.time
        resumed = run(flags, tmp_path / "run")
    first, *_ = resumed.recorder.standings
    last = resumed.recorder.standings[-1]
    assert first.step == 9
    assert first.share_of_time["steps"] == 1
    assert first.remaining == pytest.approx(slower * 11 * (STEP + 2 * DATA))
    assert last.remaining == pytest.approx(slower * (VALIDATION + SAVING))
    assert last.seconds - first.seconds == pytest.approx(
        slower * (clock.time - begun - (STEP + 2 * DATA) - VALIDATION - SAVING)
    )


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_multiples_are_counted(of: int) -> None:
    for first in range(1, 20):
        for last in range(first - 1, 30):
            assert multiples(of, first, last) == len([x for x in range(first, last + 1) if x % of == 0])


def test_without_a_planned_end_nothing_is_foretold() -> None:
    assert Meter(Progress(step=4, seconds=9.0), TrainingSettings(), 10, 1, Clock()).remaining() is None
