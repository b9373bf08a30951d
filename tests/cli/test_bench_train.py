"""`mtcli bench train`: its figures fit together, and nothing is left of it; how large they are, is not tested."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from mtcli.data.tokenizer import Tokenizer
from mtcli.training.pace import WINDOWS
from tests.cli.conftest import TINY, Done, Mtcli, TrainedRun
from tests.cli.test_usage import assert_refused

PHASES = ["data", "forward", "backward", "optimizer", "other"]
QUICK = [*TINY, "--seconds", "0.2"]
GENERATED = ["--max-tokens", "200", "--vocab-size", "90"]


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtcli.machine.LONG_ENOUGH", 0.0)


@pytest.fixture
def untouched(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, ...]:
    """The folders in which a command could leave something: where it runs, its cache, and where temporaries are."""
    here, scratch = tmp_path / "here", tmp_path / "scratch"
    for folder in (here, scratch):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))  # PyTorch makes it with any optimizer
    return here, scratch, cache


def listed(folders: tuple[Path, ...]) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*")}


def found(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.err
    result: dict[str, Any] = json.loads(done.out, parse_constant=pytest.fail)
    return result


def assert_consistent(facts: dict[str, Any]) -> None:
    windows = facts["windows"]
    assert len(windows) == WINDOWS
    for rate, amount in (("tokens_per_second", "tokens"), ("steps_per_second", "steps")):
        rates = sorted(window[amount] / window["seconds"] for window in windows)
        assert facts[rate] == pytest.approx({"low": rates[0], "median": rates[WINDOWS // 2], "high": rates[-1]})
    assert all(window["places"] >= window["tokens"] > window["target_tokens"] > 0 for window in windows)
    tokens, places, targets, steps = (
        sum(window[name] for window in windows) for name in ("tokens", "places", "target_tokens", "steps")
    )
    assert facts["padding"] == pytest.approx(1 - tokens / places)
    assert facts["target_tokens_per_step"] == pytest.approx(targets / steps)
    assert list(facts["share_of_time"]) == PHASES
    assert all(0 < share < 1 for share in facts["share_of_time"].values())
    assert sum(facts["share_of_time"].values()) == pytest.approx(1)
    assert facts["tokens_per_second_while_looking"] > 0
    assert 0 < facts["first_step_seconds"] < facts["seconds_to_first_step"]
    assert facts["peak_memory_bytes"]["all"] > 10e6
    work = facts["arithmetic"]
    peak = work["matmul_flops_per_second"] * work["processors"]
    assert work["share_of_matmul_peak"] == pytest.approx(work["flops_per_second"] / peak)
    # A token of this model costs about so much, whatever the lengths.
    assert work["model_flops"] / tokens == pytest.approx(6 * facts["parameters"], rel=0.5)


def test_figures_of_generated_sentences_fit_together(mtcli: Mtcli, untouched: tuple[Path, ...]) -> None:
    before = listed(untouched)
    facts = found(mtcli("bench", "train", *QUICK, *GENERATED, "--json"))
    assert_consistent(facts)
    assert listed(untouched) == before
    assert (facts["source_pieces"], facts["target_pieces"]) == (90, 90)
    assert "generated pairs: source tokens gamma-distributed (mean 24" in facts["corpus"]
    assert (facts["training"]["precision"], facts["device"], facts["threads"]) == ("fp32", "cpu", 1)


def test_generated_sentences_are_of_the_tokenizer_that_is_named(mtcli: Mtcli, model: Path) -> None:
    tokenizer = model / "checkpoints" / "step-80"
    facts = found(mtcli("bench", "train", *QUICK, "--seconds", 0, "--tokenizer", tokenizer, "--json"))
    assert facts["source_pieces"] == facts["target_pieces"] == Tokenizer.load(tokenizer).source_size


def test_figures_of_a_corpus_fit_together(mtcli: Mtcli, corpus: Path, untouched: tuple[Path, ...]) -> None:
    before = listed(untouched)
    flags = ["--train", corpus / "train", "--accumulate", 2, "--json"]
    facts = found(mtcli("bench", "train", *QUICK, *flags))
    assert_consistent(facts)
    assert listed(untouched) == before
    assert facts["corpus"] == f"{corpus / 'train'}: 200 read = 200 kept + 0 dropped"
    assert facts["training"]["accumulate"] == 2


def test_a_recipe_is_taken_and_the_flags_of_a_training_may_stay(
    mtcli: Mtcli, trained: TrainedRun, untouched: tuple[Path, ...]
) -> None:
    before = listed((trained.path, *untouched))
    facts = found(mtcli("bench", "train", trained.path / "recipe.toml", "--seconds", 0, "--json"))
    assert_consistent(facts)
    verb, *flags = trained.arguments
    flags = flags[: flags.index("-o")] + flags[flags.index("-o") + 2 :]
    again = found(mtcli("bench", verb, *flags, "--seconds", 0, "--json"))
    same = ("model", "training", "corpus", "parameters", "source_pieces")
    assert [again[name] for name in same] == [facts[name] for name in same]
    assert listed((trained.path, *untouched)) == before
    # Batches come in the order of the seed: with a step in each window, both saw the same.
    for one, other in zip(facts["windows"], again["windows"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
        assert one["steps"] == 1


def test_batches_are_divided_as_in_a_run(mtcli: Mtcli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtcli.training.fitting.PROCESSOR_TOKENS", 100)
    flags = ["bench", "train", *QUICK, *GENERATED, "--max-length", 40, "--split", 0, "--seconds", 0]
    facts = found(mtcli(*flags, "--json"))
    assert facts["training"]["split"] == facts["parts"] > 1
    assert f"tokens of the longer side in {facts['parts']} parts, 1 in a step" in mtcli(*flags).out


def test_people_get_one_line_for_each_figure(mtcli: Mtcli) -> None:
    done = mtcli("bench", "train", *QUICK, *GENERATED, "--seconds", 0)
    assert done.code == 0, done.err
    assert [line.split(":")[0] for line in done.lines] == [
        *("model", "parameters", "corpus", "processor", "threads", "precision", "batch"),
        *("from the start to the end of the first step", "windows", "tokens/s", "steps/s", "target tokens in a step"),
        *("padding", "time", "tokens/s while that was looked at", "peak memory", "share of the matmul peak"),
    ]
    assert "transformer, 1+1 layers, 32 wide, preset small" in done.out
    assert " GFLOP/s)" in done.out
    assert all(f"{phase} " in done.out for phase in PHASES)
    assert "the first step took" in done.err


def test_what_there_is_no_figure_for_has_a_dash(mtcli: Mtcli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtcli.machine.resident_peak", lambda process: None)
    flags = ["bench", "train", *QUICK, *GENERATED, "--seconds", 0, "--architecture", "recurrent"]
    facts = found(mtcli(*flags, "--json"))
    assert (facts["peak_memory_bytes"], facts["arithmetic"]) == (None, None)
    assert [line.split(": ")[1] for line in mtcli(*flags).lines[-2:]] == ["-", "-"]


def test_a_missing_corpus_is_named(mtcli: Mtcli, tmp_path: Path) -> None:
    done = mtcli("bench", "train", *QUICK, "--train", tmp_path / "nowhere")
    assert_refused(done, 3)
    assert str(tmp_path / "nowhere") in done.err
