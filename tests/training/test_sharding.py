"""Processes that divide a model among them train it as if each had the whole."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

from mtcli import recipe as recipes
from mtcli.checkpoint import steps as checkpoints
from mtcli.checkpoint.restore import restore
from mtcli.errors import ResourceError, UsageError
from mtcli.model.build import build
from mtcli.model.transformer import Transformer
from mtcli.training import engine
from mtcli.training.holding import Holding
from mtcli.training.memory import within_memory
from mtcli.training.ranks import Ranks
from mtcli.training.refusals import refuse_unshardable
from mtcli.training.sharding import common
from tests.checkpoint.examples import identical
from tests.training import ranks as work
from tests.training import shards, test_loop, tiny
from tests.training.test_distributed import PLAIN, flags_of, relative
from tests.training.tiny import same_state, stored

WORLD = 2


class Divided(SimpleNamespace):
    """What two processes found that divided models among them, by rank."""

    folder: Path
    looks: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    killed: Any


def brief(corpora: Path, world: int, **changes: Any) -> dict[str, Any]:
    """A run of a few steps."""
    few = {"max_steps": 9, "save_every": 2, "validate_every": 4}
    return flags_of(corpora, world, **{"optimizer": "adamw", **few, **changes})


@pytest.fixture(scope="module")
def divided(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Divided:
    """Everything that the tests ask of two processes, in one start of them; the last thing is a murder."""
    folder = tmp_path_factory.mktemp("shards")
    tiny.run(brief(corpora, 1, max_steps=4, **PLAIN), folder / "alone")
    flags, plain = brief(corpora, WORLD, shard=True, ema=0.5), brief(corpora, WORLD, shard=True, max_steps=4, **PLAIN)
    works = ((shards.look,), (shards.runs, flags, plain), (work.killed, flags))
    processes = start_processes(work.take_part, (WORLD, folder, *works), WORLD, join=False, start_method="spawn")
    with pytest.raises(ProcessExitedException) as caught:
        all(iter(lambda: processes.join(grace_period=60), True))
    assert caught.value.signal_name == "SIGKILL"

    def found(name: str, count: int) -> list[Any]:
        return [torch.load(folder / f"{name}-{rank}", weights_only=False) for rank in range(count)]

    return Divided(
        folder=folder,
        looks=found("look", WORLD),
        runs=found("runs", WORLD),
        killed=found("killed", 1),
    )


def same_steps(found: dict[str, Any], expected: dict[str, Any], tolerance: float = 1e-7) -> None:
    """Whether gradients, norms, losses, weights and moments are the same but for rounding."""
    assert relative(found["gradient"], expected["gradient"]) < tolerance
    assert found["norms"] == pytest.approx(expected["norms"], rel=tolerance)
    assert found["losses"] == pytest.approx(expected["losses"], rel=tolerance)
    torch.testing.assert_close(found["weights"], expected["weights"], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found["moments"], expected["moments"], rtol=tolerance, atol=tolerance)
    assert found["skipped"] == expected["skipped"]


def test_the_steps_are_those_of_one_process(divided: Divided) -> None:
    """With clipping, and an average of the weights."""
    alone = shards.steps(shards.PLAIN, Ranks(), shard=True, decay=0.5)
    for rank in divided.looks:
        same_steps(rank["plain"], alone)


def test_the_mean_of_the_ranks_means_is_another_gradient(divided: Divided) -> None:
    """Else the test above could not fail."""
    for rank in divided.looks:
        naive, gradient = (
            rank["naive"],
            rank["plain"]["gradient"][: len(rank["naive"])],
        )  # clipped: the direction counts
        assert relative(naive / naive.norm(), gradient / gradient.norm()) > 0.05


@pytest.mark.parametrize("name", shards.KINDS)
def test_the_steps_are_those_of_processes_that_have_all_of_it(divided: Divided, name: str) -> None:
    """Which draw the same noise: in float64 with all that is random, whatever is tied, shared, or read twice."""
    for rank in divided.looks:
        whole, in_parts = rank["kinds"][name]
        same_steps(in_parts, whole, shards.KINDS[name].tolerance)


def test_ranks_with_fewer_parts_wait_for_the_others(divided: Divided) -> None:
    """Batches of one or two pairs in two parts: 5 at one rank, 7 at the other."""
    alone = shards.steps(shards.PLAIN, Ranks(), shard=True)
    for rank in divided.looks:
        same_steps(rank["parts"], alone)


def test_a_gradient_that_is_not_finite_at_one_rank_is_skipped_by_all(divided: Divided) -> None:
    assert [rank["poison"] for rank in divided.looks] == [(False, 1)] * WORLD


def test_each_rank_holds_a_part(divided: Divided) -> None:
    for rank in divided.looks:
        assert 0.45 < rank["stored"]["share"] < 0.55
        assert rank["stored"]["largest"] < 0.6, "and does not keep the memory of the whole"
        assert rank["stored"]["reborn"] == [True, True], "the same, when it is given the whole, or the part"


def test_the_first_rank_gathers_what_is_stored(divided: Divided) -> None:
    first, second = (rank["stored"] for rank in divided.looks)
    for found, expected in zip(first["gathered"], first["expected"], strict=True):
        assert identical({name: found[name] for name in expected}, expected)
    weights = first["gathered"][0]
    assert weights["output.weight"] is weights["source.table.weight"]
    assert sum(x.numel() for name, x in second["gathered"][0].items() if "extra" not in name) == 0


def test_validation_has_the_whole_model_for_a_while(divided: Divided) -> None:
    for rank in divided.looks:
        state = shards.state_of(shards.PLAIN, Ranks(), shard=False)
        state.model.load_state_dict(divided.looks[0]["stored"]["expected"][0])
        expected = state.model.eval()(shards.models.batch(3, [3, 1], [2, 4]))
        torch.testing.assert_close(rank["stored"]["logits"], expected, rtol=1e-12, atol=1e-12)
        assert rank["stored"]["tied"]
        assert rank["stored"]["hollow"], "afterwards"


def test_a_run_is_that_of_one_process(divided: Divided, corpora: Path, tmp_path: Path) -> None:
    """The same steps, validations and place in the data; one process goes on, and two where one began."""
    flags = brief(corpora, 1, max_steps=6, **PLAIN)
    whole = tiny.run(flags, tmp_path / "whole")
    one, many = whole.checkpoint(4), stored(divided.folder / "plain", 4)
    torch.testing.assert_close(many.weights, one.weights, rtol=1e-4, atol=1e-4)
    assert many.scores["scores"] == one.scores["scores"]
    assert many.scores["loss"] == pytest.approx(one.scores["loss"], rel=1e-4)
    shutil.copytree(divided.folder / "plain", tmp_path / "on")
    on = tiny.run({**flags, "shard": False}, tmp_path / "on")
    assert [standing.step for standing in on.recorder.standings] == [5, 6]
    assert "--shard changes from True to False" in "\n".join(on.recorder.warned)
    assert divided.runs[0]["steps after"] == [5, 6]
    for found in (on.checkpoint(6), stored(divided.folder / "alone", 6)):
        torch.testing.assert_close(found.weights, whole.checkpoint(6).weights, rtol=1e-3, atol=1e-3)


def test_taken_up_again_it_is_the_run_that_was_not_stopped(divided: Divided) -> None:
    """Bit by bit, with dropout and an average, in the middle of an epoch."""
    assert [rank["stopped"] for rank in divided.runs] == [128 + signal.SIGTERM] * WORLD
    assert divided.runs[0]["steps again"] == [6, 7, 8, 9]
    assert same_state(stored(divided.folder / "parts", 9), stored(divided.folder / "whole", 9))


def test_a_checkpoint_is_like_any_other(divided: Divided) -> None:
    restored = restore(divided.folder / "whole", torch.device("cpu"))
    assert restored.recipe.training.shard
    assert restored.model.output.weight is restored.model.source.table.weight


def test_a_killed_rank_ends_the_others_with_one_sentence(divided: Divided) -> None:
    ((message, told),) = divided.killed
    assert "another process of this training ended" in message
    assert told
    assert checkpoints.steps(divided.folder / "killed") == [2, 4]


def test_memory_that_runs_out_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others would wait for this rank in the pass that it gave up."""
    state = test_loop.fresh()
    monkeypatch.setattr(state.holding, "sharded", True)

    def full() -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ResourceError, match="--split 4"):
        within_memory(state, [batch for batch, _ in test_loop.group([*range(7)])], 2, full)


def test_parts_are_computed_for_nothing_only_where_a_model_is_divided() -> None:
    state = test_loop.fresh()
    parts = [batch for batch, _ in test_loop.group([0], [1])]
    assert engine.idle(state, parts) == []
    assert not Holding().sharded


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("positions", "shared"), [("sinusoidal", False), ("learned", True), ("t5", True), ("shaw", False)]
)
def test_parameters_of_several_units_belong_to_the_last(layers: int, positions: str, shared: bool) -> None:
    """The tables that the embeddings and all layers hold; all else in a block is the block's own."""
    settings = shards.models.settings(encoder_layers=layers, decoder_layers=layers, positions=positions)
    model = build(settings, 17, 17, joint=True)
    assert isinstance(model, Transformer)
    found = common(model, [*model.encoder.blocks, *model.decoder.blocks])
    names = {name for name, parameter in model.named_parameters() if parameter in found}
    assert names == ({"source.position.table", "target.position.table"} if shared else set())


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ({"split": 0}, "--split"),
        ({"max_tokens": "auto"}, "--split"),
        ({"layer_dropout": 0.1}, "--layer-dropout"),
    ],
)
def test_what_cannot_be_divided_is_refused(typed: dict[str, Any], reason: str) -> None:
    refuse_unshardable(recipes.resolve({}, typed))
    with pytest.raises(UsageError, match=reason):
        refuse_unshardable(recipes.resolve({}, {**typed, "shard": True}))


def test_an_optimizer_that_needs_whole_matrices_is_refused() -> None:
    recipe = recipes.resolve({}, {"shard": True})
    refuse_unshardable(recipe)
    training = recipe.training.model_copy(update={"optimizer": "muon"})
    with pytest.raises(UsageError, match="--optimizer muon needs them whole"):
        refuse_unshardable(recipe.model_copy(update={"training": training}))
