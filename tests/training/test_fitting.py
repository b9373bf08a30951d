"""`--max-tokens auto`: the batch of the recipe, in as few parts as a machine has memory for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mtcli import recipe as recipes
from mtcli.checkpoint.store import Checkpoint
from mtcli.data.encoded import Encoded
from mtcli.errors import ResourceError, UsageError
from mtcli.layout import Batch
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import Recipe, TrainingSettings
from mtcli.training import engine, fitting
from mtcli.training.fitting import bytes_held, fewest_parts, fitted, kept, longest_batch
from mtcli.training.interrupt import Interrupt
from mtcli.training.loss import Loss, training_loss
from mtcli.training.plan import Request
from mtcli.training.ranks import Ranks
from mtcli.training.run import Watch
from mtcli.training.state import TrainState
from mtcli.training.train import train
from tests.training.test_loop import SETTINGS, fresh
from tests.training.tiny import Recorder, same_weights, stored, wishes

CORPUS = Encoded.of([[7] * length for length in (1, 5, 9)], [[8] * length for length in (3, 11, 2)])


@pytest.mark.parametrize("max_tokens", [1, 12, 24, 25, 1000])
def test_the_worst_batch_is_as_long_as_any_pair_and_as_large_as_any_batch(max_tokens: int) -> None:
    batch = longest_batch(CORPUS, max_tokens)
    assert batch.source_rows.width == batch.target_rows.width == 12
    assert batch.source_rows.full
    assert batch.target_rows.full
    assert len(batch.source) == max(1, max_tokens // 12)


@pytest.mark.parametrize("limit", [1, 5, 83])
def test_it_is_tried(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose memory holds this many rows, with gradients and moments there as in any later step."""
    state = fresh()

    def narrow(model: Seq2Seq[Any], batch: Batch, settings: TrainingSettings) -> Loss:
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert len(state.optimizer.state) == len(list(model.parameters()))
        if len(batch.source) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return training_loss(model, batch, settings)

    monkeypatch.setattr(engine, "training_loss", narrow)
    parts = fewest_parts(state, longest_batch(CORPUS, 1000), SETTINGS)
    sizes = {count: -(-83 // count) for count in (1, 2, 4, 8, 16, 32, 64, 128)}
    assert parts == min(count for count, size in sizes.items() if size <= limit)


def test_one_pair_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Loss:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine, "training_loss", never)
    with pytest.raises(ResourceError, match="a pair of 12 tokens") as caught:
        fewest_parts(fresh(), longest_batch(CORPUS, 1000), SETTINGS)
    assert caught.value.exit_code == 5


def on_processor(monkeypatch: pytest.MonkeyPatch, free: int | None, most: int = 10**9, tokens: int = 1000) -> int:
    """The parts on a processor with so much free memory, on which more than `most` tokens do not pay."""
    monkeypatch.setattr(fitting, "free_memory", lambda: free)
    monkeypatch.setattr(fitting, "PROCESSOR_TOKENS", most)
    return fewest_parts(fresh(), longest_batch(CORPUS, tokens), SETTINGS)


def test_half_the_memory_makes_twice_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = longest_batch(CORPUS, 768)
    assert len(batch.source) == 64
    fixed, each = bytes_held(fresh(), batch, SETTINGS)
    for parts in (1, 2, 8, 64):
        needed = 2 * (fixed + each * 64 // parts)
        assert on_processor(monkeypatch, needed, tokens=768) == parts
        assert on_processor(monkeypatch, needed - 2, tokens=768) == min(64, 2 * parts)
    assert on_processor(monkeypatch, 0, tokens=768) == 64, "no more than there are pairs: a trial is the judge then"
    assert on_processor(monkeypatch, None, tokens=768) == 1


@pytest.mark.parametrize("most", [12, 500])
def test_parts_are_no_larger_than_pays(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = on_processor(monkeypatch, None, most, tokens=768)
    assert 768 // parts <= most < 2 * 768 // parts


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_a_batch_keeps_follows_from_two_small_ones(precision: Any) -> None:
    state, batch = fresh(precision, dropout=0.1), longest_batch(CORPUS, 768)
    fixed, each = bytes_held(state, batch, SETTINGS)
    assert kept(state, batch, SETTINGS) == pytest.approx(fixed + 64 * each, rel=0.05)


@pytest.mark.parametrize("changes", [{"r_drop": 5.0}, {"simcut": 3.0}])
def test_a_loss_that_reads_batches_twice_keeps_twice_as_much(changes: dict[str, Any]) -> None:
    state, batch = fresh(dropout=0.1), longest_batch(CORPUS, 768)
    _, once = bytes_held(state, batch, SETTINGS)
    _, twice = bytes_held(state, batch, SETTINGS.model_copy(update=changes))
    assert 1.8 < twice / once < 2.2


def test_a_trial_skips_no_layers() -> None:
    """By chance it might skip all of them; and what is found is for the recipe as it is."""
    tried: list[float] = []

    def built(recipe: Recipe) -> TrainState:
        tried.append(recipe.model.layer_dropout)
        return fresh()

    recipe = recipes.resolve({}, {"max_tokens": "auto", "layer_dropout": 0.9})
    found = fitted(recipe, built, CORPUS, Recorder())
    assert tried == [0]
    assert found.model.layer_dropout == 0.9
    assert found.training.split > 0


@pytest.mark.parametrize("needs", [1, 4])
def test_the_rank_that_needs_most_parts_decides(needs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crowd(Ranks):
        def most(self, *numbers: Any) -> Any:
            return [max(number, 2) for number in numbers]

    def built(recipe: Recipe) -> TrainState:
        return replace(fresh(), ranks=Crowd())

    monkeypatch.setattr(fitting, "fewest_parts", lambda *_: needs)
    recipe = recipes.resolve({}, {"max_tokens": "auto"})
    assert fitted(recipe, built, CORPUS, Recorder()).training.split == max(needs, 2)


def test_auto_keeps_the_batch_of_the_layer_below() -> None:
    asked = {"training": {"max_tokens": "auto"}}
    for file, typed, expected in (
        ({"preset": "base"}, {"max_tokens": "auto"}, (25000, 0)),
        ({"training": {"max_tokens": 777}}, {"max_tokens": "auto"}, (777, 0)),
        (asked, {}, (TrainingSettings().max_tokens, 0)),
        ({"preset": "base", **asked}, {}, (25000, 0)),
        (asked, {"max_tokens": "900"}, (900, 0)),
        (asked, {"split": 3}, (TrainingSettings().max_tokens, 3)),
        ({}, {"max_tokens": "900"}, (900, 1)),
    ):
        training = recipes.resolve(file, typed).training
        assert (training.max_tokens, training.split) == expected
    with pytest.raises(UsageError, match="cannot be used"):
        recipes.resolve({}, {"max_tokens": "many"})


def test_it_is_settled_once_and_written_down(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "PROCESSOR_TOKENS", 30)
    recorder, flags = Recorder(), wishes(corpora, max_steps=2)
    file = {"training": {"max_tokens": flags.pop("max_tokens")}}

    def begin(name: str, **changes: Any) -> Checkpoint:
        train(Request(file, {**flags, **changes}), tmp_path / name, Watch(recorder, Interrupt()))
        return stored(tmp_path / name, changes.get("max_steps", 2))

    begin("auto", max_tokens="auto")
    written = recipes.load(tmp_path / "auto" / "recipe.toml").training
    assert (written.max_tokens, written.split) == (100, 4)
    assert "batches of 100 tokens are computed in 4 parts" in recorder.said
    monkeypatch.setattr(fitting, "PROCESSOR_TOKENS", 10)
    on = begin("auto", max_tokens="auto", max_steps=4)
    assert same_weights(on, begin("same", max_tokens="100", split=4, max_steps=4)), "the trial leaves no trace"
    assert recorder.warned == []
