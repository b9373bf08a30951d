"""What happens around the steps: validations, checkpoints, the log, and the end; none of it touches the weights."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from mtcli.checkpoint import durable, steps, store
from mtcli.checkpoint.store import Checkpoint
from mtcli.errors import DivergenceError, ResourceError
from mtcli.evaluation import Score
from mtcli.training import engine, validate
from mtcli.training.loss import Loss, training_loss
from mtcli.training.observer import Validation
from mtcli.training.run import Run
from mtcli.training.state import TrainState
from mtcli.training.validate import Validator
from tests.training.tiny import Recorder, Trained, run, same_weights, wishes


def figures(loss: float, bleu: float) -> Validation:
    scores = [Score("BLEU", bleu, "signed", None, ""), Score("chrF2", 100 - bleu, "signed", None, "")]
    return Validation(loss, scores, [], 0.0)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Validation]:
    """Validations find what this list says, one after the other."""
    verdicts: list[Validation] = []
    monkeypatch.setattr(Validator, "__call__", lambda self, state: verdicts.pop(0))
    return verdicts


def test_the_same_recipe_gives_the_same_bytes(corpora: Path, whole: Trained, tmp_path: Path) -> None:
    again = run(wishes(corpora), tmp_path / "run")
    for step in (5, 20):
        for file in ("model.safetensors", "training.safetensors"):
            paths = (each.directory / "checkpoints" / f"step-{step}" / file for each in (again, whole))
            assert len({path.read_bytes() for path in paths}) == 1


def test_another_seed_gives_other_weights(corpora: Path, whole: Trained, tmp_path: Path) -> None:
    """Else the test above could not fail."""
    other = run(wishes(corpora, seed=2, max_steps=5), tmp_path / "run")
    assert not same_weights(other.checkpoint(5), whole.checkpoint(5))


@pytest.mark.parametrize(
    "changes",
    [
        {"validate_every": 3, "validation_lines": 0, "samples": 0, "max_output_ratio": 2.0},
        {"validate_every": 7, "save_every": 2, "keep": 1, "validation_decoding": "beam", "beam_size": 2},
        {"validate_every": 1000, "save_every": 1000, "metric": "loss", "tensorboard": True},
    ],
)
def test_what_watches_does_not_disturb(
    changes: dict[str, Any], corpora: Path, whole: Trained, tmp_path: Path
) -> None:
    other = run(wishes(corpora, patience=0, **changes), tmp_path / "run")
    assert same_weights(other.checkpoint(20), whole.checkpoint(20))


def test_a_validation_changes_neither_weights_nor_random_numbers_nor_the_mode(corpora: Path, tmp_path: Path) -> None:
    seen = 0
    judge = Validator.__call__

    def watched(self: Validator, state: TrainState) -> Validation:
        nonlocal seen
        before = torch.get_rng_state(), {name: x.clone() for name, x in state.weights().items()}
        assert state.model.training
        verdict = judge(self, state)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert all(torch.equal(x, before[1][name]) for name, x in state.weights().items())
        assert all(module.training for module in state.model.modules())
        assert all(p.requires_grad and p.grad is None for p in state.model.parameters())
        seen += 1
        return verdict

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validator, "__call__", watched)
        run(wishes(corpora, max_steps=4, validate_every=2), tmp_path / "run")
    assert seen == 2


def test_validation_loss_is_that_of_the_model_at_rest(corpora: Path, whole: Trained, tmp_path: Path) -> None:
    """Whatever the batches: dropout, smoothing and padding play no part."""
    losses = [
        run(wishes(corpora, max_steps=20, **changes), tmp_path / str(number)).recorder.validations[-1][0].loss
        for number, changes in enumerate([{"metric": "loss"}, {"metric": "chrf", "validation_lines": 1}])
    ]
    expected = whole.recorder.validations[-1][0].loss
    assert losses == [expected, expected]


def test_scores_carry_signatures(whole: Trained) -> None:
    scores = json.loads((whole.directory / "checkpoints" / "step-20" / "scores.json").read_text())
    validation = whole.recorder.validations[-1][0]
    assert scores == json.loads(json.dumps(validation.as_json()))
    assert {name: "version:" in score["signature"] for name, score in scores["scores"].items()} == {
        "BLEU": True,
        "chrF2": True,
    }


@pytest.mark.parametrize(("metric", "best"), [("bleu", 4), ("chrf", 2), ("loss", 6)])
def test_the_best_is_the_best_by_the_chosen_metric(
    metric: str, best: int, judged: list[Validation], corpora: Path, tmp_path: Path
) -> None:
    judged += [figures(3.0, 10), figures(2.5, 30), figures(1.0, 20), figures(float("nan"), 15)]
    ended = run(wishes(corpora, metric=metric, max_steps=8, validate_every=2, save_every=8, keep=1), tmp_path / "run")
    assert ended.outcome.best.name == f"step-{best}"
    assert steps.steps(ended.directory) == [best, 8], "the newest, and the best"
    assert steps.pointed(ended.directory, "best") == best
    assert steps.pointed(ended.directory, "latest") == 8
    value = {"bleu": 30, "chrf": 90, "loss": 1.0}[metric]
    assert json.loads((ended.directory / "best.json").read_text()) == {"step": best, metric: value}
    assert [one for _, one, _ in ended.recorder.validations] == [
        step in {"bleu": (2, 4), "chrf": (2,), "loss": (2, 4, 6)}[metric] for step in (2, 4, 6, 8)
    ]


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_the_newest_are_kept(keep: int, judged: list[Validation], corpora: Path, tmp_path: Path) -> None:
    judged += [figures(1.0, 50), figures(1.0, 40), figures(1.0, 30)]
    ended = run(wishes(corpora, max_steps=12, validate_every=4, save_every=2, keep=keep), tmp_path / "run")
    newest = list(range(2, 13, 2))[-keep:]
    assert steps.steps(ended.directory) == sorted({4, *newest})


def test_loss_that_is_not_a_number_is_stored_as_none_and_never_best(
    judged: list[Validation], corpora: Path, tmp_path: Path
) -> None:
    judged += [figures(float("nan"), 5), figures(float("inf"), 4), figures(2.0, 3), figures(float("nan"), 1)]
    ended = run(wishes(corpora, metric="loss", max_steps=8, validate_every=2, save_every=2), tmp_path / "run")
    assert ended.outcome.best.name == "step-6"
    assert [event["loss"] for event in ended.events("validation")] == [None, None, 2.0, None]
    assert ended.checkpoint(2).scores["loss"] is None


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_ends_a_run_after_as_many_validations(
    patience: int, judged: list[Validation], corpora: Path, tmp_path: Path
) -> None:
    judged += [figures(1.0, 10), figures(1.0, 20), *[figures(1.0, 20)] * 9]
    flags = wishes(corpora, max_steps=40, validate_every=1, save_every=40, patience=patience)
    ended = run(flags, tmp_path / "run")
    assert "--patience" in ended.outcome.reason
    assert [left for _, _, left in ended.recorder.validations] == [patience, *range(patience, -1, -1)]
    assert steps.steps(ended.directory) == [1, 2, 2 + patience], "the end is saved"
    again = run(flags, tmp_path / "run")
    assert again.outcome.reason == ended.outcome.reason
    assert again.recorder.standings == []


@pytest.mark.parametrize("accumulate", [1, 3])
def test_max_epochs(accumulate: int, corpora: Path, tmp_path: Path) -> None:
    ended = run(wishes(corpora, max_steps=0, max_epochs=2, accumulate=accumulate), tmp_path / "run")
    assert "--max-epochs" in ended.outcome.reason
    epochs = [standing.epoch for standing in ended.recorder.standings]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 2
    assert set(epochs[:-1]) <= {0, 1}


def test_max_minutes(corpora: Path, tmp_path: Path) -> None:
    ended = run(wishes(corpora, max_steps=0, max_minutes=0.2 / 60), tmp_path / "run")
    assert "--max-minutes" in ended.outcome.reason
    seconds = [standing.seconds for standing in ended.recorder.standings]
    assert seconds == sorted(seconds)
    assert all(second < 0.2 for second in seconds[:-1])
    assert ended.recorder.validations, "the end is judged"
    assert steps.steps(ended.directory)[-1] == len(seconds)
    assert run(wishes(corpora, max_steps=0, max_minutes=0.2 / 60), tmp_path / "run").recorder.standings == []


def test_an_end_that_comes_while_a_checkpoint_is_written_is_judged_too(corpora: Path, tmp_path: Path) -> None:
    def slow(self: Run, checkpoint: Checkpoint) -> Path:
        self.state.progress.seconds += 60
        return write(self, checkpoint)

    write = Run.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "write", slow)
        ended = run(wishes(corpora, max_steps=0, max_minutes=1, validate_every=100), tmp_path / "run")
    assert [standing.step for standing in ended.recorder.standings] == [1, 2, 3, 4, 5, 6]
    assert len(ended.recorder.validations) == 1


def test_the_log_is_strict_json_and_has_every_figure(corpora: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtcli.training.run.LOG_STEPS", 4)
        ended = run(wishes(corpora, max_steps=10, validate_every=5), tmp_path / "run")
    logged = ended.events("steps")
    assert [event["step"] for event in logged] == [4, 8, 10]
    for event in logged:
        assert event["tokens_per_second"] > 0
        assert 0 < event["loss"] < 20
        assert event["lr"] > 0
        assert event["skipped"] == 0
    validations = ended.events("validation")
    assert [event["step"] for event in validations] == [5, 10]
    assert all("version:" in event["scores"]["BLEU"]["signature"] for event in validations)


def test_a_log_that_cannot_be_written_is_warned_of_once(corpora: Path, whole: Trained, tmp_path: Path) -> None:
    (tmp_path / "run" / "log.jsonl").mkdir(parents=True)
    ended = run(wishes(corpora, validate_every=2), tmp_path / "run")
    assert len([sentence for sentence in ended.recorder.warned if "log.jsonl" in sentence]) == 1
    assert same_weights(ended.checkpoint(20), whole.checkpoint(20))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_is_written_on_request_only(corpora: Path, whole: Trained, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(wishes(corpora, max_steps=4, validate_every=2, tensorboard=True), tmp_path / "run")
    assert not (whole.directory / "tensorboard").exists()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()  # type: ignore[no-untyped-call]
    tags = events.Tags()["scalars"]  # type: ignore[no-untyped-call]
    assert set(tags) == {"train/loss", "train/lr", "valid/loss", "valid/BLEU", "valid/chrF2"}
    assert [event.step for event in events.Scalars("valid/BLEU")] == [2, 4]  # type: ignore[no-untyped-call]


def test_samples_are_spread_and_as_many_as_asked_for(corpora: Path, tmp_path: Path) -> None:
    for count in (0, 2, 100):
        ended = run(wishes(corpora, max_steps=1, samples=count, validation_lines=0), tmp_path / str(count))
        samples = ended.recorder.validations[0][0].samples
        sources = (corpora / "valid.en").read_text().split("\n")[:-1]
        assert [sample.source for sample in samples] == sources[:: len(sources) // count if 0 < count < 6 else 1][
            :count
        ]


@pytest.mark.parametrize("lines", [0, 1, 2, 4, 5, 6, 100])
def test_validation_lines_bound_what_is_decoded(lines: int, corpora: Path, tmp_path: Path) -> None:
    decoded: list[int] = []
    evaluate = validate.evaluate

    def counted(texts: list[str], *arguments: Any) -> list[Score]:
        decoded.append(len(texts))
        return evaluate(texts, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validate, "evaluate", counted)
        run(wishes(corpora, max_steps=1, validation_lines=lines), tmp_path / "run")
    assert 1 <= decoded[0] <= min(lines or 6, 6)
    assert 2 * decoded[0] >= min(lines or 6, 6)


class FullDisk:
    """Refuses every file that is created from now on, when `full`."""

    def __init__(self) -> None:
        self.full = False
        self.create = durable.create

    def __call__(self, path: Path, data: bytes) -> None:
        if self.full and path.name == "training.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        self.create(path, data)

    def fill(self) -> None:
        self.full = True


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[FullDisk]:
    disk = FullDisk()
    monkeypatch.setattr(durable, "create", disk)
    yield disk
    disk.full = False


def test_a_disk_that_fills_up_ends_a_run_and_harms_no_checkpoint(
    disk: FullDisk, corpora: Path, whole: Trained, tmp_path: Path
) -> None:
    with pytest.raises(ResourceError, match="the disk is full") as caught:
        run(wishes(corpora), tmp_path / "run", Recorder({12: disk.fill}))
    assert caught.value.exit_code == 5
    assert steps.newest(tmp_path / "run") == (tmp_path / "run" / "checkpoints" / "step-10", [])
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-10", "step-5"]
    disk.full = False
    assert same_weights(run(wishes(corpora), tmp_path / "run").checkpoint(20), whole.checkpoint(20))


def test_too_little_disk_is_found_before_training(corpora: Path, tmp_path: Path) -> None:
    class Usage:
        free = 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: Usage)
        with pytest.raises(ResourceError, match="GB free"):
            run(wishes(corpora), tmp_path / "run")
        assert steps.steps(tmp_path / "run") == []
        parameters = 16 * 16 * 40  # about as many: enough for one or two checkpoints, and not for seven
        Usage.free = 2 * 12 * parameters
        with pytest.raises(ResourceError, match="GB free"):
            run(wishes(corpora), tmp_path / "run")
    run(wishes(corpora, max_steps=6, save_every=1), tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: Usage)
        run(wishes(corpora, max_steps=7, save_every=1), tmp_path / "run")


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_a_directory_that_cannot_be_written_is_found_at_once(place: str, corpora: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "run" if place == "below a file" else tmp_path / "file"
    with pytest.raises(ResourceError) as caught:
        run(wishes(corpora, train=["nowhere"]), directory)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("save_every", [5, 100])
def test_divergence_names_the_last_good_checkpoint(save_every: int, corpora: Path, tmp_path: Path) -> None:
    def spoilt(*arguments: Any) -> Loss:
        loss = training_loss(*arguments)
        return replace(loss, total=loss.total * float("nan"))

    flags = wishes(corpora, save_every=save_every, validate_every=100, max_steps=50)
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder({7: lambda: patch.setattr(engine, "training_loss", spoilt)})
        with pytest.raises(DivergenceError) as caught:
            run(flags, tmp_path / "run", recorder)
    assert caught.value.exit_code == 6
    # Two more times from the last checkpoint before, which is none where they are written every 100 steps.
    assert [standing.skipped for standing in recorder.standings] == [0] * 7 + [*range(1, 10)] * 3
    good = tmp_path / "run" / "checkpoints" / "step-5"
    expected = f"the last good checkpoint is {good}" if save_every == 5 else "there is no good checkpoint yet"
    assert caught.value.details[-1] == expected
    assert steps.steps(tmp_path / "run") == ([5] if save_every == 5 else []), "none of the skipped updates"


def test_nothing_is_pickled(corpora: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module, name in product((torch, pickle), ("save", "load", "dump", "dumps", "loads")):
            patch.setattr(module, name, forbidden, raising=False)
        run(wishes(corpora, max_steps=1), tmp_path / "run")
        run(wishes(corpora, max_steps=2), tmp_path / "run")
        assert store.load(tmp_path / "run" / "checkpoints" / "step-2", resume=True).step == 2


def forbidden(*arguments: Any, **named: Any) -> None:
    raise AssertionError("pickle")
