"""`mtcli bench translate`: every figure is there, for people and for programs; how large it is, is not tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Done, Mtcli, write
from tests.cli.test_usage import assert_refused

QUICK = ("--repeats", 2, "--latency-lines", 2)
ONCE = ("--greedy", "--repeats", 1, "--latency-lines", 0)


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtcli.machine.LONG_ENOUGH", 0.0)


@pytest.fixture
def text(corpus: Path, tmp_path: Path) -> Path:
    lines = (corpus / "test.en").read_text(encoding="utf-8").split("\n")[:3]
    return write(tmp_path / "some.en", [lines[0], "", *lines[1:], " \t"])


def found(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.err
    result: dict[str, Any] = json.loads(done.out, parse_constant=pytest.fail)
    return result


def test_json_has_every_figure(mtcli: Mtcli, model: Path, text: Path) -> None:
    facts = found(mtcli("bench", "translate", "-m", model, text, *QUICK, "--beam-size", 3, "--json"))
    assert Path(facts["model"]).parent == model / "checkpoints"
    assert (facts["models"], facts["precision"], facts["width"]) == (1, "fp32", 3)
    assert facts["decoding"]["decoding"] == "beam"
    assert facts["versions"].keys() == {"mtcli", "torch", "python"}
    assert facts["processor"]
    assert (facts["sentences"], facts["repeats"], len(facts["latency"]["seconds"])) == (3, 2, 2)
    for way in ("text_to_text", "tokens_to_tokens"):
        assert len(facts[way]["seconds"]) == 2
        for unit, amount in (("sentences", 3), ("target_tokens", facts["target_tokens"])):
            spread = facts[way][f"{unit}_per_second"]
            assert 0 < spread["low"] <= spread["median"] <= spread["high"]
            assert spread["high"] == pytest.approx(amount / min(facts[way]["seconds"]))
    whole, bare = (facts[way]["seconds"] for way in ("text_to_text", "tokens_to_tokens"))
    assert all(a > b for a, b in zip(whole, bare, strict=True))
    assert 0 < facts["latency"]["p50_ms"] <= facts["latency"]["p90_ms"] <= facts["latency"]["p99_ms"]
    memory = facts["peak_memory_bytes"]
    assert memory["all"] == memory["this_process"] + sum(memory["workers"])
    work = facts["arithmetic"]
    peak = work["matmul_flops_per_second"] * work["processors"]
    assert work["share_of_matmul_peak"] == pytest.approx(work["flops_per_second"] / peak)
    assert work["flops_per_second"] > 0


def test_tokens_are_those_of_the_translations(mtcli: Mtcli, model: Path, text: Path) -> None:
    facts = found(mtcli("bench", "translate", "-m", model, text, *ONCE, "--json"))
    told = mtcli("translate", "-m", model, "--greedy", "--format", "jsonl", text)
    pieces = [found["pieces"] for line in told.lines for found in json.loads(line)["translations"]]
    assert facts["target_tokens"] == sum(map(len, pieces))
    assert facts["width"] == 1


def test_people_get_one_line_for_each_figure(mtcli: Mtcli, model: Path, text: Path) -> None:
    done = mtcli("bench", "translate", "-m", model, text, *QUICK)
    assert done.code == 0, done.err
    labels = [line.strip().split(":")[0] for line in done.lines]
    rates = ["sentences/s", "target tokens/s"]
    assert labels == [
        *("model", "processor", "threads", "workers", "decoding", "sentences", "target tokens", "repeats"),
        *("text to text", *rates, "tokens to tokens", *rates),
        *("one line alone", "peak memory", "share of the matmul peak"),
    ]
    assert "beam, 5 wide, fp32" in done.out
    assert "p50 " in done.out
    assert " GFLOP/s)" in done.out
    assert "warm-up" in done.err


def test_workers_share_the_work_and_the_peak_is_theirs(mtcli: Mtcli, model: Path, text: Path) -> None:
    flags = ["--workers", 2, "--batch-tokens", 20, "--precision", "int8", *ONCE]
    facts = found(mtcli("bench", "translate", "-m", model, text, *flags, "--json"))
    assert (facts["precision"], facts["workers"]) == ("int8", 2)
    assert len(facts["peak_memory_bytes"]["workers"]) == 2
    assert facts["arithmetic"]["processors"] == 2
    together = found(mtcli("bench", "translate", "-m", model, text, *flags, "--batch-tokens", 9999, "--json"))
    assert together["peak_memory_bytes"]["workers"] == []
    assert together["arithmetic"]["processors"] == together["threads"]


def test_an_ensemble_works_twice_as_hard(mtcli: Mtcli, model: Path, text: Path) -> None:
    one, two = (
        found(mtcli("bench", "translate", *models, text, *ONCE, "--json"))
        for models in (["-m", model], ["-m", model, "-m", model])
    )
    assert (one["models"], two["models"]) == (1, 2)
    assert two["target_tokens"] == one["target_tokens"]
    assert two["arithmetic"]["model_flops"] == 2 * one["arithmetic"]["model_flops"]


def test_what_there_is_no_figure_for_has_a_dash(
    mtcli: Mtcli, model: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtcli.decoding.figures.countable", lambda settings: False)
    monkeypatch.setattr("mtcli.machine.resident_peak", lambda process: None)
    flags = ["bench", "translate", "-m", model, text, *ONCE]
    facts = found(mtcli(*flags, "--json"))
    assert [facts[key] for key in ("latency", "peak_memory_bytes", "arithmetic")] == [None] * 3
    assert [line.split(": ")[1] for line in mtcli(*flags).lines[-3:]] == ["-"] * 3


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\t\n\xc2\xa0\n"])
def test_text_with_nothing_to_translate_is_refused(content: bytes, mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing.en").write_bytes(content)
    for place, stdin, name in ((tmp_path / "nothing.en", b"", "nothing.en"), ("-", content, "stdin")):
        done = mtcli("bench", "translate", "-m", model, place, stdin=stdin)
        assert_refused(done, 3)
        assert f"{name} has no line to translate" in done.err


def test_a_missing_file_is_named(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    done = mtcli("bench", "translate", "-m", model, tmp_path / "nowhere.txt")
    assert_refused(done, 3)
    assert str(tmp_path / "nowhere.txt") in done.err
