"""Processes beside each other: the same translations in the same order, and nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mtcli.decoding.translator import Translator
from mtcli.decoding.workers import Workers, possible
from mtcli.errors import DataError, ResourceError
from mtcli.layout import Rows
from mtcli.model.seq2seq import Memory
from mtcli.settings import DecodingSettings
from tests.decoding.test_translator import STRATEGIES, Letters
from tests.decoding.toys import Table

pytestmark = pytest.mark.skipif(not possible(), reason="this system cannot fork")

PATIENCE = 60.0
"""Seconds; a busy machine may need them."""
LINES = ["abc", "", "fed cab", *("abcdef"[start:] * count for start in range(3) for count in (1, 2)), " ", "bad"]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    assert not multiprocessing.active_children()
    yield
    eventually(lambda: not multiprocessing.active_children())


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.005)


def translator(workers: int, model: Table | None = None, batch_tokens: int = 8, **changes: object) -> Translator:
    """Each sentence, or a few short ones, is a job of its own."""
    wanted = DecodingSettings(**{"max_output_ratio": 0.5, "batch_tokens": batch_tokens, "mbr_samples": 4, **changes})
    return Translator(model or Table(9, 0, ending=1.0), Letters(), wanted, torch.device("cpu"), workers=workers)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_workers_translate_the_same_in_the_same_order(strategy: str) -> None:
    alone = translator(1, decoding=strategy)
    expected = [alone.translate(LINES), alone.translate(LINES[::-1])]
    with translator(2, decoding=strategy) as ready:
        assert [ready.translate(LINES), ready.translate(LINES[::-1])] == expected
        assert len(multiprocessing.active_children()) == 2
        # What they computed is not computed here.
        assert ready.model.steps == 0 < alone.model.steps


def test_what_one_process_can_do_at_once_stays_in_this_one() -> None:
    with translator(2, batch_tokens=10**6) as ready:
        assert ready.translate(LINES) == translator(1, batch_tokens=10**6).translate(LINES)
        assert ready.translate([]) == []
        assert not multiprocessing.active_children()
        assert ready.model.steps


def test_chunks_are_translated_by_the_same_workers() -> None:
    with translator(2) as ready:
        found = ready.translate(LINES)
        first = {worker.pid for worker in multiprocessing.active_children()}
        found += ready.translate(LINES[1:]) + ready.translate(LINES[2:])
        assert first
        assert {worker.pid for worker in multiprocessing.active_children()} == first
    assert [each.source for each in found] == LINES + LINES[1:] + LINES[2:]


def test_workers_have_one_thread_each_and_know_what_was_there_when_they_began() -> None:
    known = [1, 2, 3]
    workers = Workers[int, tuple[int, int, int]](
        lambda place: (known[place], torch.get_num_threads(), os.getpid()), 3
    )
    found = list(workers.map(range(3)))
    workers.close()
    assert [each[:2] for each in found] == [(1, 1), (2, 1), (3, 1)]
    assert os.getpid() not in {pid for _, _, pid in found}


class Dying(Table):
    """A worker dies of a source as if it had been killed."""

    def encode(self, source: Tensor, rows: Rows) -> Memory:
        if int(rows.lengths.max()) == 4 and multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(source, rows)


def test_a_worker_that_dies_is_an_error_with_a_hint() -> None:
    with pytest.raises(ResourceError, match="worker process died") as caught, translator(2, Dying(9, 0)) as ready:
        ready.translate(LINES)
    assert caught.value.exit_code == 5
    assert "--workers" in caught.value.details[0]
    assert "--batch-tokens" in caught.value.details[0]


class Refusing(Table):
    """A model that cannot hold a source."""

    def encode(self, source: Tensor, rows: Rows) -> Memory:
        raise DataError("a sentence has too many tokens", "shorten it")


def test_what_goes_wrong_in_a_worker_is_told_as_if_it_had_here() -> None:
    with pytest.raises(DataError, match="too many tokens") as caught, translator(2, Refusing(9, 0)) as ready:
        ready.translate(LINES)
    assert caught.value.details == ("shorten it",)


def test_whatever_ends_the_work_ends_the_workers() -> None:
    """Also what they have not finished, and would not for an hour."""
    workers = Workers[float, None](time.sleep, 2)
    results = workers.map([0.0, 3600.0, 3600.0, 3600.0])
    next(results)
    assert multiprocessing.active_children()
    workers.close()


def test_to_end_some_workers_leaves_others_at_their_work() -> None:
    first, second = Workers[int, int](abs, 2), Workers[int, str](str, 2)
    assert list(first.map([-1, 2])) == [1, 2]
    assert list(second.map([-1, 2])) == ["-1", "2"]
    assert list(first.map([3])) == [3]
    first.close()
    eventually(lambda: len(multiprocessing.active_children()) == 2)
    assert list(second.map([3])) == ["3"]
    second.close()


def test_ctrl_c_is_left_to_the_parent() -> None:
    def survives(_: int) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return os.getpid()

    workers = Workers[int, int](survives, 2)
    assert len(list(workers.map(range(4)))) == 4
    workers.close()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_do_not_outlive_a_parent_that_is_killed() -> None:
    here, there = multiprocessing.Pipe()
    parent = multiprocessing.get_context("fork").Process(target=work_for_ever, args=(there,))
    parent.start()
    pids = here.recv()
    assert parent.pid
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    eventually(lambda: all(map(gone, pids)))


def work_for_ever(told: Connection) -> None:
    """Send the processes' numbers when they work."""
    workers = Workers[float, None](time.sleep, 2)
    results = workers.map([0.0, 0.0, 3600.0, 3600.0])
    next(results), next(results)
    told.send([worker.pid for worker in multiprocessing.active_children()])
    next(results)


def gone(pid: int) -> bool:
    """Whether a process has ended; what nobody waits for may still have an entry."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True
