"""An average is the exact mean, rounded once, whatever the order; what does not match is refused with its reason."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from mtcli.checkpoint import average, steps, store
from mtcli.checkpoint.store import Checkpoint
from mtcli.errors import ModelError
from tests.checkpoint.examples import example, identical

STEPS = (100, 200, 300)


def same_counts(checkpoint: Checkpoint, **changes: Any) -> Checkpoint:
    """A checkpoint whose tokenizer and integers do not depend on the step."""
    weights = {**checkpoint.weights, "counts": torch.arange(3), **changes.pop("weights", {})}
    return replace(checkpoint, weights=weights, tokenizer={"tokenizer.model": b"pieces"}, **changes)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [store.save(tmp_path / "run", same_counts(example(step))) for step in STEPS]


def test_the_mean_is_exact(paths: list[Path]) -> None:
    result = average.average(paths)
    inputs = [store.load(path).weights for path in paths]
    for name, tensor in result.weights.items():
        for index, value in enumerate(tensor.flatten().tolist()):
            parts = [Fraction(weights[name].flatten()[index].item()) for weights in inputs]
            mean = torch.tensor(float(sum(parts) / len(parts)), dtype=torch.float64).to(tensor.dtype)
            assert value == mean.item(), name
    assert (result.step, result.scores, result.resume) == (300, {}, None)
    assert result.recipe == store.load(paths[-1]).recipe


def test_order_and_copies_do_not_matter(paths: list[Path]) -> None:
    once = average.average(paths).weights
    assert identical(once, average.average(paths[::-1]).weights)
    assert identical(once, average.average(paths * 2).weights)
    assert identical(store.load(paths[0]).weights, average.average(paths[:1] * 3).weights)


def test_ties_and_types_survive_saving(paths: list[Path], tmp_path: Path) -> None:
    result = average.average(paths)
    store.write(tmp_path / "average", result)
    weights = store.load(steps.find(tmp_path / "average")).weights
    assert identical(weights, result.weights)
    assert weights["output.weight"].data_ptr() == weights["source_embedding.weight"].data_ptr()
    assert "training.json" not in os.listdir(tmp_path / "average")


def test_what_is_drawn_at_random_is_the_last_ones(paths: list[Path], tmp_path: Path) -> None:
    """The mean of random vectors is shorter than any of them, and a count has no mean."""
    own = [{"mixer.drawn.matrix": torch.full((2, 2), float(i)), "mixer.drawn.count": torch.tensor(i)} for i in (1, 2)]
    changed = [replace(same_counts(example(1), weights=weights), step=i) for i, weights in enumerate(own)]
    found = average.average([store.save(tmp_path / "drawn", each) for each in changed]).weights
    assert identical({name: found[name] for name in own[1]}, own[1])


def other_setting(checkpoint: Checkpoint) -> Checkpoint:
    model = checkpoint.recipe.model.model_copy(update={"heads": 2})
    return replace(checkpoint, recipe=checkpoint.recipe.model_copy(update={"model": model}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_setting, "heads is 4 and 2"),
        (lambda c: replace(c, tokenizer={"tokenizer.model": b"other"}), "their tokenizers differ"),
        (lambda c: same_counts(c, weights={"extra": torch.ones(1)}), "different names: extra"),
        (lambda c: same_counts(c, weights={"scalar": torch.ones(2)}), r"scalar is float32\[\] and float32\[2\]"),
        (lambda c: same_counts(c, weights={"half": torch.ones(6)}), r"half is bfloat16\[6\] and float32\[6\]"),
        (lambda c: same_counts(c, weights={"counts": torch.ones(3, dtype=torch.int64)}), "counts differs"),
        (lambda c: same_counts(c, weights={"output.weight": torch.ones(7, 4)}), "tied differently"),
    ],
)
def test_what_differs_is_said(paths: list[Path], tmp_path: Path, change: Any, reason: str) -> None:
    other = store.save(tmp_path / "other", change(same_counts(example(50))))
    with pytest.raises(ModelError, match="cannot be averaged") as caught:
        average.average([other, paths[-1]])
    assert any(re.search(reason, detail) for detail in caught.value.details)


def test_the_last_whole_ones_are_taken(paths: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    run = paths[0].parents[1]
    assert average.last(run, 2) == paths[1:]
    (paths[2] / "scores.json").unlink()
    assert average.last(run, 2) == paths[:2]
    assert "scores.json is missing" in caplog.text
    with pytest.raises(ModelError, match="has 2 whole checkpoints, not the 3"):
        average.last(run, 3)


SCORES = {100: (2.0, 31.0, 50.0), 200: (1.0, 30.0, 52.0), 300: (3.0, 31.0, 51.0), 400: None, 500: (None, 1.0, 2.0)}
"""Loss, BLEU and chrF by step; one was saved without a validation, and one has a loss that is not a number."""


def scored(run: Path, metric: str) -> Path:
    """A run with these scores that goes by this metric."""
    for step, figures in SCORES.items():
        checkpoint = same_counts(example(step))
        training = checkpoint.recipe.training.model_copy(update={"metric": metric})
        scores: dict[str, Any] = {}
        if figures:
            loss, bleu, chrf = figures
            values = {"BLEU": bleu, "chrF2": chrf}
            scores = {"loss": loss, "scores": {name: {"value": value} for name, value in values.items()}}
        recipe = checkpoint.recipe.model_copy(update={"training": training})
        store.save(run, replace(checkpoint, recipe=recipe, scores=scores))
    return run


@pytest.mark.parametrize(
    ("metric", "ranking"),
    [("bleu", [300, 100, 200, 500]), ("chrf", [200, 300, 100, 500]), ("loss", [200, 100, 300])],
)
def test_the_best_are_taken_oldest_first(metric: str, ranking: list[int], tmp_path: Path) -> None:
    run = scored(tmp_path / "run", metric)
    for count in range(1, len(ranking) + 1):
        assert average.best(run, count) == [steps.place(run, step) for step in sorted(ranking[:count])]
    with pytest.raises(ModelError, match=f"has {len(ranking)} whole checkpoints with a score, not the 6"):
        average.best(run, 6)


def test_a_damaged_one_is_not_among_the_best(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = scored(tmp_path / "run", "bleu")
    (steps.place(run, 300) / "model.safetensors").unlink()
    assert average.best(run, 2) == [steps.place(run, step) for step in (100, 200)]
    assert "model.safetensors is missing" in caplog.text
