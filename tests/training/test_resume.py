"""A run that was stopped, in whatever way, and taken up again is bit by bit the run that was not stopped."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mtcli.checkpoint import steps, store
from mtcli.data import shards
from mtcli.errors import DataError, InterruptedRun, ModelError, UsageError
from mtcli.training.interrupt import Interrupt
from mtcli.training.observer import Standing
from tests.training import tiny
from tests.training.tiny import Recorder, Trained, run, same_state, same_weights, stored, wishes

ROOT = Path(__file__).resolve().parents[2]

DOOMED = """
import json, os, signal, sys
from pathlib import Path
from mtcli.training import run as runs
from tests.training.tiny import Recorder, run
runs.REPORT_SECONDS = 0.0
flags, directory, step = json.loads(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
run(flags, directory, Recorder({step: lambda: os.kill(os.getpid(), signal.SIGKILL)}))
"""


def run_and_be_killed(flags: dict[str, Any], directory: Path, step: int) -> None:
    """Train in a process of its own that is gone, without a chance to clean up, in the middle of `step`."""
    command = [sys.executable, "-c", DOOMED, json.dumps(flags), str(directory), str(step)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL


def test_the_sample_run_is_stopped_in_the_middle_of_an_epoch(whole: Trained) -> None:
    """Else the tests below would show less than they say."""
    for step in (5, 10, 15, 20):
        resume = stored(whole.directory, step).resume
        assert resume is not None
        assert resume.values["progress"]["place"]["index"] > 0
    assert resume.values["progress"]["place"]["epoch"] >= 2
    assert torch.linalg.vector_norm(stored(whole.directory, 5).weights["output.weight"]) > 0
    assert not same_weights(stored(whole.directory, 5), stored(whole.directory, 10))


def test_killed_and_taken_up_again(corpora: Path, whole: Trained, tmp_path: Path) -> None:
    run_and_be_killed(wishes(corpora), tmp_path / "run", 12)
    assert steps.steps(tmp_path / "run") == [5, 10]
    again = run(wishes(corpora), tmp_path / "run")
    assert again.recorder.said[-1] == "going on from step 10"
    assert [standing.step for standing in again.recorder.standings] == list(range(11, 21))
    assert same_state(again.checkpoint(20), whole.checkpoint(20))


@pytest.mark.slow
def test_killed_and_taken_up_again_on_two_threads(corpora: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        flags = wishes(corpora, threads=2, model_dim=128, feed_forward_dim=512, max_tokens=400)
        uninterrupted = run(flags, tmp_path / "whole")
        run_and_be_killed(flags, tmp_path / "run", 12)
        assert same_state(run(flags, tmp_path / "run").checkpoint(20), uninterrupted.checkpoint(20))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("step", [1, 7, 10, 19])
def test_interrupted_anywhere(step: int, corpora: Path, whole: Trained, tmp_path: Path) -> None:
    interrupt = Interrupt()
    recorder = Recorder({step: lambda: interrupt.note(signal.SIGTERM, None)})
    with pytest.raises(InterruptedRun) as caught:
        run(wishes(corpora), tmp_path / "run", recorder, interrupt)
    assert caught.value.exit_code == 143
    assert steps.steps(tmp_path / "run")[-1] == step == recorder.standings[-1].step
    again = run(wishes(corpora), tmp_path / "run")
    assert [standing.step for standing in again.recorder.standings] == list(range(step + 1, 21))
    assert same_state(again.checkpoint(20), whole.checkpoint(20))


def test_stopped_in_any_of_several_shards(
    corpora: Path, whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 40)
    monkeypatch.setattr(shards, "WINDOW", 5)
    uninterrupted = run(wishes(corpora), tmp_path / "whole")
    assert not same_weights(uninterrupted.checkpoint(10), whole.checkpoint(10))
    places = []
    for step in (2, 6, 11, 20):
        resume = run(wishes(corpora, max_steps=step), tmp_path / "parts").checkpoint(step).resume
        assert resume is not None
        places.append(resume.values["progress"]["place"])
    assert same_weights(stored(tmp_path / "parts", 20), uninterrupted.checkpoint(20))
    assert len({place["shard"] for place in places}) > 2
    assert any(place["before"] < place["index"] for place in places if place["shard"])


def test_a_checkpoint_from_before_there_were_shards_goes_on(corpora: Path, whole: Trained, tmp_path: Path) -> None:
    run(wishes(corpora, max_steps=5), tmp_path / "run")
    earlier = stored(tmp_path / "run", 5)
    assert earlier.resume is not None
    place = earlier.resume.values["progress"]["place"]
    assert [place.pop(name) for name in ("shard", "before")] == [0, 0]
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    store.save(tmp_path / "run", earlier)
    assert same_weights(run(wishes(corpora), tmp_path / "run").checkpoint(20), whole.checkpoint(20))


def test_random_features_are_drawn_anew_as_without_a_stop(corpora: Path, tmp_path: Path) -> None:
    flags = wishes(corpora, encoder_attention="performer", features=8, redraw_every=3, max_steps=8, save_every=4)
    uninterrupted = run(flags, tmp_path / "whole")
    run({**flags, "max_steps": 5}, tmp_path / "parts")
    assert same_weights(run(flags, tmp_path / "parts").checkpoint(8), uninterrupted.checkpoint(8))
    drawn = [uninterrupted.checkpoint(step).weights for step in (4, 8)]
    assert all(not torch.equal(x, drawn[1][name]) for name, x in drawn[0].items() if ".drawn." in name)


@pytest.mark.parametrize("changes", [{}, {"schedule": "cosine", "decay_steps": 30}, {"schedule": "constant"}])
def test_a_finished_run_goes_on_to_a_larger_end(changes: dict[str, Any], corpora: Path, tmp_path: Path) -> None:
    flags = wishes(corpora, **changes)
    uninterrupted = run(flags, tmp_path / "whole")
    run({**flags, "max_steps": 13}, tmp_path / "parts")
    on = run(flags, tmp_path / "parts")
    assert same_weights(on.checkpoint(20), uninterrupted.checkpoint(20))
    assert on.recorder.warned == []


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_end_of_a_planned_schedule_stays_where_the_first_start_put_it(
    schedule: str, corpora: Path, tmp_path: Path
) -> None:
    flags = wishes(corpora, schedule=schedule, max_steps=10)
    first = run(flags, tmp_path / "run")
    assert first.recorder.warned == []
    on = run({**flags, "max_steps": 14}, tmp_path / "run")
    assert same_weights(on.checkpoint(14), first.checkpoint(10)), "the rate is 0 from step 10 on"
    assert len(on.recorder.warned) == 1
    assert "reaches 0 at step 10" in on.recorder.warned[0]
    assert "--decay-steps 14" in on.recorder.warned[0]
    further = run({**flags, "max_steps": 18, "decay_steps": 18}, tmp_path / "run")
    assert not same_weights(further.checkpoint(18), first.checkpoint(10))
    assert [s for s in further.recorder.warned if "decay-steps" in s] == ["--decay-steps changes from 10 to 18"]


def test_a_finished_run_says_so(corpora: Path, tmp_path: Path) -> None:
    flags = wishes(corpora, max_steps=3)
    first = run(flags, tmp_path / "run")
    again = run(flags, tmp_path / "run")
    assert again.recorder.standings == []
    assert again.outcome.reason == first.outcome.reason
    assert again.outcome.best == first.outcome.best
    assert again.recorder.warned == []


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_a_damaged_newest_checkpoint_is_passed_over_loudly(
    damage: str, corpora: Path, whole: Trained, tmp_path: Path
) -> None:
    run(wishes(corpora, max_steps=15), tmp_path / "run")
    file = tmp_path / "run" / "checkpoints" / "step-15" / "training.safetensors"
    data = bytearray(file.read_bytes())
    data[-7] ^= 4
    file.unlink()
    if damage != "missing":
        file.write_bytes(data if damage == "flipped" else data[:-10])
    again = run(wishes(corpora), tmp_path / "run")
    assert any("step-15" in warning for warning in again.recorder.warned)
    assert again.recorder.standings[0].step == 11
    assert same_weights(again.checkpoint(20), whole.checkpoint(20))
    assert same_weights(again.checkpoint(15), whole.checkpoint(15)), "the damaged one was replaced"


def copied(corpora: Path, place: Path) -> Path:
    for file in sorted(corpora.rglob("*")):
        if file.is_file():
            (place / file.relative_to(corpora)).parent.mkdir(parents=True, exist_ok=True)
            (place / file.relative_to(corpora)).write_bytes(file.read_bytes())
    return place


def test_a_changed_corpus_is_refused(corpora: Path, tmp_path: Path) -> None:
    place = copied(corpora, tmp_path / "corpora")
    run(wishes(place, max_steps=2), tmp_path / "run")
    lines = (place / "train.de").read_text().split("\n")
    lines[3] += " und"
    (place / "train.de").write_text("\n".join(lines))
    with pytest.raises(DataError, match="corpora have changed"):
        run(wishes(place), tmp_path / "run")
    assert steps.steps(tmp_path / "run") == [2]


def test_a_changed_tokenizer_is_refused_and_a_missing_one_is_not_missed(corpora: Path, tmp_path: Path) -> None:
    place = copied(corpora, tmp_path / "corpora")
    uninterrupted = run(wishes(place, max_steps=4), tmp_path / "whole")
    run(wishes(place, max_steps=2), tmp_path / "run")
    tiny.learn_tokenizer(place, place / "tokenizer", 30)
    with pytest.raises(ModelError, match="no longer the one"):
        run(wishes(place, max_steps=4), tmp_path / "run")
    (place / "tokenizer" / "tokenizer.model").unlink()
    (place / "tokenizer").rmdir()
    on = run(wishes(place, max_steps=4), tmp_path / "run")
    assert same_weights(on.checkpoint(4), uninterrupted.checkpoint(4))


def test_an_edited_recipe_is_refused(corpora: Path, tmp_path: Path) -> None:
    flags = wishes(corpora, max_steps=1)
    run(flags, tmp_path / "run")
    recipe = tmp_path / "run" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("model_dim = 16", "model_dim = 32"))
    with pytest.raises(ModelError, match="not the recipe") as caught:
        run({**flags, "model_dim": 32}, tmp_path / "run")
    assert any("model_dim: 16" in detail for detail in caught.value.details)
    with pytest.raises(UsageError, match="other settings"):
        run(flags, tmp_path / "run")


def test_another_machine_is_told_that_bits_may_differ(corpora: Path, tmp_path: Path) -> None:
    flags = wishes(corpora, max_steps=1)
    run(flags, tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "__version__", "9.9")
        on = run({**flags, "max_steps": 2}, tmp_path / "run")
    assert len(on.recorder.warned) == 1
    assert "PyTorch 9.9" in on.recorder.warned[0]


def test_a_kill_between_the_best_checkpoint_and_its_pointer_is_mended(
    corpora: Path, whole: Trained, tmp_path: Path
) -> None:
    run(wishes(corpora, max_steps=10), tmp_path / "run")
    best = tmp_path / "run" / "best.json"
    expected = best.read_bytes()
    for left_over in (None, b'{"step": 3, "bleu": 0.0}', b"torn"):
        best.unlink()
        if left_over is not None:
            best.write_bytes(left_over)
        again = run(wishes(corpora, max_steps=10), tmp_path / "run")
        assert best.read_bytes() == expected
        assert again.outcome.best == tmp_path / "run" / "checkpoints" / "step-10"


def test_standings_go_on_where_they_were(corpora: Path, tmp_path: Path) -> None:
    run(wishes(corpora, max_steps=3), tmp_path / "run")
    on = run(wishes(corpora, max_steps=5), tmp_path / "run")
    first: Standing = on.recorder.standings[0]
    assert first.step == 4
    assert first.seconds > 0
    assert [event["step"] for event in on.events("steps")] == [3, 5]
