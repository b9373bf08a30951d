"""Several processes train as one does: the same gradients, the same steps, the same end, whatever their number."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

from mtcli.checkpoint import steps as checkpoints
from mtcli.data.batches import Batches, Place
from mtcli.data.encoded import Encoded
from mtcli.training.ranks import Ranks
from tests.checkpoint.examples import identical
from tests.training import ranks as work
from tests.training import tiny
from tests.training.tiny import Recorder, same_state, stored, wishes

PLAIN = {"dropout": 0.0, "epsilon": 1e-3}
"""Nothing random, and no division by the size of gradients that are 0 but for rounding, as those of keys' biases."""


class Studied(SimpleNamespace):
    """What the ranks of one training found, by rank."""

    world: int
    folder: Path
    study: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    killed: Any


def flags_of(corpora: Path, world: int, **changes: Any) -> dict[str, Any]:
    """A tiny run whose steps have four batches, however many processes share them."""
    return wishes(corpora, **{"accumulate": 4 // world, "validation_lines": 0, "max_output_ratio": 1.0, **changes})


@pytest.fixture(
    scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)], ids=["2 processes", "4 processes"]
)
def studied(request: pytest.FixtureRequest, corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Studied:
    """Everything that the tests ask of several processes, in one start of them; the last thing is a murder."""
    world, folder = request.param, tmp_path_factory.mktemp("ranks")
    flags, plain = flags_of(corpora, world), flags_of(corpora, world, max_steps=10, **PLAIN)
    works = ((work.study,), (work.runs_of_many_kinds, flags, plain), (work.killed, flags))
    processes = start_processes(work.take_part, (world, folder, *works), world, join=False, start_method="spawn")
    with pytest.raises(ProcessExitedException) as caught:
        all(iter(lambda: processes.join(grace_period=60), True))
    assert caught.value.error_index == world - 1
    assert caught.value.signal_name == "SIGKILL"

    def found(name: str, count: int) -> list[Any]:
        return [torch.load(folder / f"{name}-{rank}", weights_only=False) for rank in range(count)]

    return Studied(
        world=world,
        folder=folder,
        study=found("study", world),
        runs=found("runs_of_many_kinds", world),
        killed=found("killed", world - 1),
    )


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize(("kind", "lora_rank"), [("steps", 0), ("adapted", 2)])
def test_the_gradient_is_that_of_one_process(kind: str, lora_rank: int, studied: Studied) -> None:
    alone = work.steps(Ranks(), lora_rank=lora_rank)
    for rank in studied.study:
        assert relative(rank[kind]["gradient"], alone["gradient"]) < 1e-7
        assert rank[kind]["norms"] == pytest.approx(alone["norms"], rel=1e-7)
        assert rank[kind]["losses"] == pytest.approx(alone["losses"], rel=1e-7)
        assert rank[kind]["tokens"] == alone["tokens"]
        torch.testing.assert_close(rank[kind]["weights"], alone["weights"], rtol=1e-7, atol=1e-7)


def test_the_mean_of_the_ranks_means_is_another_gradient(studied: Studied) -> None:
    """Else the test above could not fail."""
    alone = work.steps(Ranks())["gradient"]
    for rank in studied.study:
        assert relative(rank["naive"], alone) > 0.05


def test_all_ranks_have_the_same_weights_bit_by_bit(studied: Studied) -> None:
    first = studied.study[0]
    for rank in studied.study[1:]:
        assert torch.equal(rank["steps"]["gradient"], first["steps"]["gradient"])
        assert identical(rank["steps"]["weights"], first["steps"]["weights"])
        assert identical(rank["dropped"][0]["weights"], first["dropped"][0]["weights"])
    assert all(rank["weights"] == studied.runs[0]["weights"] for rank in studied.runs)
    assert len(set(studied.runs[0]["weights"])) == 20, "after every step"


def test_dropout_differs_among_ranks_and_not_when_a_step_is_repeated(studied: Studied) -> None:
    once, again = studied.study[0]["dropped"]
    assert torch.equal(once["gradient"], again["gradient"])
    drawn = [rank["words"]["drawn"] for rank in studied.study]
    assert len({tuple(draws.tolist()) for draws in drawn}) == studied.world


def test_a_gradient_that_is_not_finite_at_one_rank_is_skipped_by_all(studied: Studied) -> None:
    assert [rank["poison"] for rank in studied.study] == [(False, 1)] * studied.world


def test_memory_that_runs_out_at_one_rank_divides_the_batches_of_all(studied: Studied) -> None:
    """Before any gradients are added: each rank throws its own away and begins anew, and the steps are the same."""
    alone, first = work.steps(Ranks()), studied.study[0]["scarce"]
    for index, rank in enumerate(studied.study):
        found, own = rank["scarce"], work.SPLIT[index :: studied.world]
        assert found["doublings"] == 1
        assert identical(found["weights"], first["weights"])
        torch.testing.assert_close(found["weights"], alone["weights"], rtol=1e-7, atol=1e-7)
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-7)
        assert found["rows"][: len(own)] == [len(rows) for rows in own], "at once"
        assert set(found["rows"][len(own) :]) == {1}, "and then in halves"


def test_all_ranks_go_back_together(studied: Studied) -> None:
    for rank in studied.runs:
        back = rank["back"]
        assert back["ended"] == studied.runs[0]["whole"]
        assert back["weights"] == studied.runs[0]["back"]["weights"]
    assert studied.runs[0]["back"]["steps"] == [*range(1, 16), *range(6, 21)], "back to the checkpoint of step 5"
    log = tiny.Trained(studied.folder / "back", Recorder(), None)  # type: ignore[arg-type]
    assert [(event["step"], event["back_to"]) for event in log.events("rollback")] == [(16, 5)]


def test_a_gradient_that_no_rank_has_stays_away(studied: Studied) -> None:
    """An optimizer lets a parameter without a gradient alone, but moves one whose gradient is 0."""
    world = studied.world
    for rank in studied.study:
        all_have, last_has, none_has, frozen = rank["holes"]
        assert all_have.tolist() == [world, 10 * sum(range(world))]
        assert last_has.tolist() == [7, 8]
        assert none_has is None
        assert frozen is None


def test_what_ranks_tell_each_other(studied: Studied) -> None:
    world = studied.world
    for rank in studied.study:
        words = rank["words"]
        assert words["lead"] == "by 0"
        assert words["sum"] == [world, world * 2**53 + sum(range(world))]
        assert words["most"] == [world - 1, -0.5]
        assert words["interleaved"] == [*range(7)]
        assert words["aligned"].tolist() == [0, 0]
    assert sum(sum(rank["words"]["told"]) for rank in studied.study) == 1


def test_a_signal_at_one_rank_stops_all_after_the_same_step(studied: Studied, corpora: Path) -> None:
    assert [rank["stopped"] for rank in studied.runs] == [128 + signal.SIGTERM] * studied.world
    assert 7 in checkpoints.steps(studied.folder / "parts")
    assert studied.runs[0]["steps again"] == [*range(8, 21)]


def test_taken_up_again_it_is_the_run_that_was_not_stopped(studied: Studied) -> None:
    assert {rank["again"] for rank in studied.runs} == {rank["whole"] for rank in studied.runs}
    assert same_state(stored(studied.folder / "parts", 20), stored(studied.folder / "whole", 20))


def test_one_rank_writes_and_speaks(studied: Studied) -> None:
    assert [step for step, _ in studied.runs[0]["standings"]] == [*range(1, 21)]
    log = tiny.Trained(studied.folder / "whole", Recorder(), None)  # type: ignore[arg-type]
    assert [event["step"] for event in log.events("validation")] == [10, 20]
    assert [event["step"] for event in log.events("steps")] == [20]
    assert not (studied.folder / "whole" / "lock.json").exists()


def test_a_run_is_that_of_one_process(studied: Studied, corpora: Path, tmp_path: Path) -> None:
    """In fp32 and without dropout: the same steps, validations and place in the data, up to rounding."""
    alone = tiny.run(flags_of(corpora, 1, max_steps=10, **PLAIN), tmp_path / "run")
    one, many = alone.checkpoint(10), stored(studied.folder / "plain", 10)
    torch.testing.assert_close(many.weights, one.weights, rtol=1e-4, atol=1e-4)
    assert one.resume is not None
    assert many.resume is not None
    progress = [each.resume.values["progress"] for each in (one, many)]
    assert all(progress[0][key] == progress[1][key] for key in ("step", "place", "tokens", "best_step"))
    assert many.scores["scores"] == one.scores["scores"]
    assert many.scores["loss"] == pytest.approx(one.scores["loss"], rel=1e-4)


def test_another_number_of_processes_goes_on(studied: Studied, corpora: Path, tmp_path: Path) -> None:
    """With as many batches to a step, it does what it would have done, up to rounding."""
    plain = flags_of(corpora, 1, max_steps=14, **PLAIN)
    whole = tiny.run(plain, tmp_path / "run")
    for name in ("same", "smaller"):
        shutil.copytree(studied.folder / "plain", tmp_path / name)
    on = tiny.run(plain, tmp_path / "same")
    assert on.recorder.standings[0].step == 11
    torch.testing.assert_close(on.checkpoint(14).weights, whole.checkpoint(14).weights, rtol=1e-3, atol=1e-3)
    warned = "\n".join(on.recorder.warned)
    assert f"{studied.world} processes until now" in warned
    assert "a step had" not in warned
    smaller = tiny.run({**plain, "accumulate": 4 // studied.world}, tmp_path / "smaller")
    assert "--accumulate 4 keeps it" in "\n".join(smaller.recorder.warned)


def test_a_killed_rank_ends_the_others_with_one_sentence(studied: Studied) -> None:
    told = [tells for _, tells in studied.killed]
    assert all("another process of this training ended" in message for message, _ in studied.killed)
    assert sum(told) == 0, "the store has heard of an error before, in `words`"
    assert checkpoints.steps(studied.folder / "killed") == [5]


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_turns_lose_no_batch_and_repeat_none(world: int) -> None:
    """Epochs whose batches are not a multiple of the ranks: the next epoch's come along."""
    draw = np.random.default_rng(world)
    rows = [list(range(4, 4 + length)) for length in draw.integers(1, 12, 60)]
    batches = Batches(Encoded.of(rows, rows), 40, seed=1)
    count = sum(batches.steps_per_epoch(epoch) for epoch in range(3))
    alone, ranks = batches.from_(Place(0, 2)), [batches.from_(Place(0, 2), rank, world) for rank in range(world)]
    for _ in range(count // world + 1):
        turn, expected = [next(rank) for rank in ranks], [next(alone) for _ in range(world)]
        assert all(torch.equal(x.source, y.source) for (x, _), (y, _) in zip(turn, expected, strict=True))
        assert {place for _, place in turn} == {expected[-1][1]}


LEAVING = """
import os, sys
import torch.distributed as dist
from mtcli.training.distributed import together

def threads():
    return [open(f"/proc/self/task/{thread}/comm").read() for thread in os.listdir("/proc/self/task")]

with together(dist.FileStore(sys.argv[1], 1), 0, 1) as ranks:
    import torch._dynamo  # as optimizers do
    ranks.sum(1)
    inside = sum("gloo" in name for name in threads())
print(inside, sum("gloo" in name for name in threads()))
"""


def test_no_thread_outlives_the_exchanges(tmp_path: Path) -> None:
    """One that lets go of a tensor while Python ends aborts the process."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVING, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True, check=True
    )
    inside, after = map(int, done.stdout.split())
    assert inside > 0
    assert after == 0
