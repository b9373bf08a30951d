"""Where memory runs out a step is taken in parts, and is the same step."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mtcli.decoding.translator import Translator
from mtcli.errors import InterruptedRun, ResourceError, out_of_memory
from mtcli.layout import UNK, Batch
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import TrainingSettings
from mtcli.training import consistency, engine
from mtcli.training.interrupt import Interrupt
from mtcli.training.loop import train_step
from mtcli.training.loss import Loss, training_loss
from tests.checkpoint.examples import identical
from tests.laws import models
from tests.training.test_loop import LENGTHS, SETTINGS, everything, exact, fresh, gradient, group
from tests.training.tiny import Recorder, Trained, run, same_state, wishes

REFUSALS: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 8 bytes"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError,
]


class Narrow:
    """A loss for which memory runs out above some number of rows, after half of the work."""

    def __init__(self, patch: pytest.MonkeyPatch, rows: int, refusal: Callable[[], Exception] = REFUSALS[0]) -> None:
        self.rows, self.refusal = rows, refusal
        self.seen: list[int] = []
        patch.setattr(engine, "training_loss", self)

    def __call__(self, model: Seq2Seq[Any], batch: Batch, settings: TrainingSettings) -> Loss:
        if len(batch.source) > self.rows:
            training_loss(model, batch.parts(2)[0], settings)
            raise self.refusal()
        self.seen.append(len(batch.source))
        return training_loss(model, batch, settings)


def test_the_parts_of_a_batch_are_its_rows() -> None:
    batch = models.batch(1, [3, 9, 1, 4, 2], [8, 1, 1, 2, 5])
    for count in range(1, 9):
        parts = batch.parts(count)
        assert len(parts) <= count
        assert max(len(part.source) for part in parts) == -(-5 // min(count, 5))
        rows = [row for part in parts for row in zip(*map(real, sides(part)), strict=True)]
        assert rows == [*zip(*map(real, sides(batch)), strict=True)]
        for part in parts:
            for tensor, rows_of, _ in sides(part):
                assert tensor.shape[1] == rows_of.width == rows_of.lengths.max()


def sides(batch: Batch) -> list[tuple[Any, Any, str]]:
    return [
        (batch.source, batch.source_rows, "source"),
        (batch.target_in, batch.target_rows, "in"),
        (batch.target_out, batch.target_rows, "out"),
    ]


def real(side: tuple[Any, Any, str]) -> list[list[int]]:
    """The rows of a side without padding."""
    tensor, rows, _ = side
    return [row[:length] for row, length in zip(tensor.tolist(), rows.lengths.tolist(), strict=True)]


@pytest.mark.parametrize("split", [2, 3, 4, 7, 100])
def test_the_gradient_of_a_split_batch_is_that_of_the_batch(split: int) -> None:
    settings = SETTINGS.model_copy(update={"split": split})
    for batches in (group([*range(7)]), group([0, 1, 2, 3, 4], [5, 6])):
        expected = gradient(exact(), batches)
        torch.testing.assert_close(gradient(exact(), batches, settings), expected, rtol=1e-9, atol=1e-12)
    states = exact(), exact()
    for _ in range(3):
        metrics = [
            train_step(state, group([*range(7)]), each)
            for state, each in zip(states, (SETTINGS, settings), strict=True)
        ]
    assert metrics[0].loss.item() == pytest.approx(metrics[1].loss.item(), rel=1e-9)
    torch.testing.assert_close(states[0].weights(), states[1].weights(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("split", [2, 3, 100])
def test_so_is_that_of_a_loss_that_reads_the_batch_twice(split: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are taken out by what they are: so the parts lack the same ones as the whole."""
    monkeypatch.setattr(consistency, "without", lambda tokens, rate: tokens.masked_fill(tokens % 3 == 0, UNK))
    batches, usual = group([*range(7)]), gradient(exact(), group([*range(7)]))
    whole, divided = (SETTINGS.model_copy(update={"simcut": 3.0, "split": parts}) for parts in (1, split))
    expected = gradient(exact(), batches, whole)
    torch.testing.assert_close(gradient(exact(), batches, divided), expected, rtol=1e-9, atol=1e-12)
    assert any(not torch.allclose(one, other, rtol=0.1) for one, other in zip(expected, usual, strict=True))


@pytest.mark.parametrize("refusal", REFUSALS)
def test_where_memory_runs_out_the_step_is_the_same(
    refusal: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what was added to the gradients before: the first batch of the group is small enough."""
    batches = group([0], [1, 2, 3, 4, 5, 6])
    expected = gradient(exact(), batches)
    narrow = Narrow(monkeypatch, 2, refusal)
    state = exact()
    torch.testing.assert_close(gradient(state, batches), expected, rtol=1e-9, atol=1e-12)
    assert state.progress.split_doublings == 2
    assert narrow.seen == [1, 1, 1, 2, 2, 2], "whole, in halves, in quarters: six rows by twos"
    narrow.seen.clear()
    metrics = train_step(state, batches, SETTINGS)
    assert narrow.seen == [1, 2, 2, 2], "and so from there on"
    assert metrics.target_tokens == sum(LENGTHS) + len(LENGTHS)


def test_three_times_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    Narrow(monkeypatch, 0)
    state, batches = fresh(), group([*range(7)] * 3)
    before = everything(state)
    with pytest.raises(ResourceError) as caught:
        train_step(state, batches, SETTINGS)
    assert caught.value.exit_code == 5
    assert state.progress.split_doublings == 3
    assert "divided by 8" in caught.value.message
    assert "10 source and 10 target tokens" in caught.value.details[0]
    assert "--split 16" in caught.value.details[1]
    assert identical(everything(state), before)


def test_a_single_pair_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    Narrow(monkeypatch, 0)
    with pytest.raises(ResourceError, match="divided by 1") as caught:
        train_step(fresh(), group([2]), SETTINGS)
    assert "--max-length" in caught.value.details[1]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("out of memory"), KeyError("x")])
def test_other_errors_are_bugs(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Loss:
        raise error

    assert not out_of_memory(error)
    monkeypatch.setattr(engine, "training_loss", failing)
    with pytest.raises(type(error)):
        train_step(fresh(), group([0, 1]), SETTINGS)


def narrow_run(corpora: Path, directory: Path, patch: pytest.MonkeyPatch, at: int) -> Trained:
    """A run for which memory grows scarce at a step."""
    recorder = Recorder({at: lambda: Narrow(patch, 8) and None})
    return run(wishes(corpora, validate_every=100), directory, recorder)


def test_a_run_says_so_and_goes_on(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = narrow_run(corpora, tmp_path / "run", monkeypatch, 7)
    events = ended.events("memory")
    assert [event["parts"] for event in events] == sorted({event["parts"] for event in events})
    assert len(ended.recorder.warned) == len(events) > 0
    assert "memory ran out in step" in ended.recorder.warned[0]
    assert ended.recorder.standings[-1].step == 20
    resume = ended.checkpoint(20).resume
    assert resume is not None
    assert 2 ** resume.values["progress"]["split_doublings"] == events[-1]["parts"]


def test_resumed_with_as_many_parts(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step in which memory runs out is not that of the resumption: those before and after it are the same."""
    whole = narrow_run(corpora, tmp_path / "whole", monkeypatch, 7)
    monkeypatch.setattr(engine, "training_loss", training_loss)
    interrupt = Interrupt()
    actions = {7: lambda: Narrow(monkeypatch, 8) and None, 13: lambda: interrupt.note(signal.SIGTERM, None)}
    with pytest.raises(InterruptedRun):
        run(wishes(corpora, validate_every=100), tmp_path / "parts", Recorder(actions), interrupt)
    monkeypatch.setattr(engine, "training_loss", training_loss)
    parts = run(wishes(corpora, validate_every=100), tmp_path / "parts")
    assert parts.recorder.warned == []
    assert same_state(parts.checkpoint(20), whole.checkpoint(20))


def test_a_validation_decodes_less_at_once(corpora: Path, tmp_path: Path) -> None:
    tried: list[int] = []
    translate = Translator.translate

    def narrow(self: Translator, lines: list[str]) -> Any:
        tried.append(self.settings.batch_tokens)
        if tried[-1] > 1000:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return translate(self, lines)

    flags = wishes(corpora, max_steps=2, validate_every=1)
    whole = run(flags, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Translator, "translate", narrow)
        other = run(flags, tmp_path / "run")
        assert tried == [4096, 2048, 1024, 512, 512]
        verdicts = [[validation.scores for validation, *_ in each.recorder.validations] for each in (other, whole)]
        assert verdicts[0] == verdicts[1]
        with pytest.raises(torch.OutOfMemoryError):
            run({**flags, "batch_tokens": 100_000}, tmp_path / "never")


def test_what_was_found_out_about_memory_outlives_a_rollback(
    corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint that a run goes back to, that of step 5, knows nothing of it."""
    narrow, recorder = Narrow(monkeypatch, 10**9), Recorder({7: lambda: setattr(narrow, "rows", 8)})

    def loss(*given: Any) -> Loss:
        found, told = narrow(*given), " ".join(recorder.warned)
        wrong = len(recorder.standings) >= 8 and "diverged" not in told
        return replace(found, total=found.total * math.nan) if wrong else found

    monkeypatch.setattr(engine, "training_loss", loss)
    ended = run(wishes(corpora, validate_every=100), tmp_path / "run", recorder)
    assert [event["back_to"] for event in ended.events("rollback")] == [5]
    parts = [event["parts"] for event in ended.events("memory")]
    assert parts == sorted(set(parts))
    resume = ended.checkpoint(20).resume
    assert resume is not None
    assert 2 ** resume.values["progress"]["split_doublings"] == parts[-1]
