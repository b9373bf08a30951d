"""`mtcli train`: what it says of the data it is given, and what it leaves behind."""

from __future__ import annotations

import gzip
import json
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Done, Mtcli, TrainedRun, pairs, write
from tests.cli.test_usage import assert_refused

SHORT = [*TINY, *shlex.split("--max-steps 2 --validate-every 2")]


def trained_on(mtcli: Mtcli, folder: Path, train: Path, valid: Path, *flags: str) -> Done:
    """Two steps on these corpora."""
    return mtcli("train", "--train", train, "--valid", valid, *SHORT, "-o", folder / "run", *flags)


def sample(corpus: Path) -> tuple[list[str], list[str]]:
    """The sentences of the training corpus."""
    sides = (corpus / f"train.{language}" for language in ("en", "de"))
    sources, targets = (side.read_text(encoding="utf-8").split("\n")[:-1] for side in sides)
    return sources, targets


def test_a_run_says_what_people_want_to_know(trained: TrainedRun) -> None:
    told = trained.done.err
    assert trained.done.out == ""
    assert "200 read = 200 kept + 0 dropped" in told
    for word in ("validation: loss", "source", "expected", "translated", "finished: 80 steps", "best checkpoint"):
        assert word in told
    assert "|tok:13a|" in told
    assert f"mtcli translate -m {trained.path}" in told


def test_the_log_is_strict_json(trained: TrainedRun) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    lines = (trained.path / "log.jsonl").read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    events = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [event["step"] for event in events if event["event"] == "validation"] == [40, 80]
    assert [event["step"] for event in events if event["event"] == "steps"] == [50, 80]


def test_the_final_panel_shows_the_best_checkpoint(trained: TrainedRun) -> None:
    best = json.loads((trained.path / "best.json").read_text(encoding="utf-8"))["step"]
    directory = trained.path / "checkpoints" / f"step-{best}"
    score = json.loads((directory / "scores.json").read_text(encoding="utf-8"))["scores"]["BLEU"]
    panel = trained.done.err[trained.done.err.index("finished: ") :]
    assert f"best checkpoint: {directory}\nBLEU {score['value']:.2f}  {score['signature']}" in panel


def test_a_finished_run_says_so(trained: TrainedRun, mtcli: Mtcli) -> None:
    done = mtcli(*trained.arguments)
    assert done.code == 0, done.err
    assert "finished: 80 steps (--max-steps)" in done.err
    assert "BLEU" in done.err[done.err.index("finished: ") :]


def test_a_recipe_repeats_a_run_to_the_last_bit(trained: TrainedRun, mtcli: Mtcli, tmp_path: Path) -> None:
    done = mtcli("train", trained.path / "recipe.toml", "-o", tmp_path / "again")
    assert done.code == 0, done.err
    for step in (40, 60, 80):
        file = Path("checkpoints") / f"step-{step}" / "model.safetensors"
        assert (tmp_path / "again" / file).read_bytes() == (trained.path / file).read_bytes()


def test_unequal_line_counts(mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    prefix = pairs(tmp_path / "data", "train", ["one", "two", "three"], ["eins", "zwei"])
    done = trained_on(mtcli, tmp_path, prefix, corpus / "valid")
    assert_refused(done, 3)
    assert f"{prefix}.de has 2 lines but {prefix}.en has 3" in done.err


def test_missing_files(mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    done = trained_on(mtcli, tmp_path, corpus / "trian", corpus / "valid")
    assert_refused(done, 3)
    assert f"did you mean {corpus / 'train'}" in done.err


@pytest.mark.parametrize("lines", [[], ["", ""]], ids=["no line", "empty lines"])
def test_an_empty_corpus(lines: list[str], mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    for part in ("train", "valid"):
        empty = pairs(tmp_path / "data", part, lines, lines)
        train, valid = (empty, corpus / "valid") if part == "train" else (corpus / "train", empty)
        done = trained_on(mtcli, tmp_path, train, valid)
        assert_refused(done, 3)
        assert str(empty) in done.err


def test_lines_that_are_not_utf8_are_counted_and_three_are_shown(mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    sources, targets = sample(corpus)
    prefix = pairs(tmp_path / "data", "train", sources, targets)
    raw = [line.encode() for line in sources]
    for number in (3, 5, 8, 13):
        raw[number - 1] = b"abc\xff" + raw[number - 1]
    Path(f"{prefix}.en").write_bytes(b"".join(line + b"\n" for line in raw))
    done = trained_on(mtcli, tmp_path, prefix, corpus / "valid")
    assert done.code == 0, done.err
    assert "200 read = 196 kept + 4 dropped (4 invalid UTF-8)" in done.err
    places = [line for line in done.err.split("\n") if "dropped: " in line]
    assert len(places) == 3
    for place, number in zip(places, (3, 5, 8), strict=True):
        assert f"{prefix}.en" in place
        assert f"line {number}, byte 4" in place
    strict = trained_on(mtcli, tmp_path / "strict", prefix, corpus / "valid", "--strict")
    assert_refused(strict, 3)
    assert "line 3" in strict.err


def test_a_truncated_archive(mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    sources, targets = sample(corpus)
    prefix = pairs(tmp_path / "data", "train", sources, targets)
    whole = gzip.compress(Path(f"{prefix}.de").read_bytes())
    Path(f"{prefix}.de").unlink()
    Path(f"{prefix}.de.gz").write_bytes(whole[: len(whole) // 2])
    done = trained_on(mtcli, tmp_path, prefix, corpus / "valid")
    assert_refused(done, 3)
    assert f"{prefix}.de.gz is damaged" in done.err


def test_strange_text_trains_and_is_shown_as_it_is(mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    sources, targets = sample(corpus)
    strange = [
        "[/b] markup [bold red] and \x1b[31mescapes\x1b[0m :smile:",
        "a\u2028line\u2029separator\u0085here",
        "\U0001f469\u200d\U0001f467 \ufeff \x00 nul",
        "",
        "a b c d " * 125_000,
    ]
    prefix = pairs(tmp_path / "data", "train", [*sources, *strange], [*targets, *strange])
    english = Path(f"{prefix}.en")
    english.write_bytes(b"\xef\xbb\xbf" + english.read_bytes().replace(b"\n", b"\r\n"))
    valid = pairs(tmp_path / "data", "valid", strange[:2], strange[:2])
    done = trained_on(mtcli, tmp_path, prefix, valid)
    assert done.code == 0, done.err
    assert "205 read = 203 kept + 2 dropped (1 empty, 1 too long)" in done.err
    assert "source [/b] markup [bold red] and [31mescapes [0m :smile:\n" in done.err
    assert "expected a line separator here\n" in done.err
    assert "\x1b" not in done.err


def test_fifty_lines_and_a_large_vocabulary(mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    sources, targets = sample(corpus)
    prefix = pairs(tmp_path / "data", "train", sources[:50], targets[:50])
    done = trained_on(mtcli, tmp_path, prefix, corpus / "valid", "--vocab-size", "32000")
    assert done.code == 0, done.err
    assert "warning: the text is too little for 32,000 pieces: the vocabulary was reduced to " in done.err


@pytest.mark.parametrize("place", ["file", "proc"])
def test_an_output_that_cannot_be_written(place: str, mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    output = write(tmp_path / "file", []) / "run" if place == "file" else Path("/proc/mtcli/run")
    done = mtcli("train", "--train", corpus / "train", "--valid", corpus / "valid", *SHORT, "-o", output)
    assert_refused(done, 5)
    assert f"{output} cannot be written" in done.err


def test_a_changed_corpus_and_changed_settings_do_not_go_on(mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    sources, targets = sample(corpus)
    prefix = pairs(tmp_path / "data", "train", sources, targets)
    assert trained_on(mtcli, tmp_path, prefix, corpus / "valid").code == 0
    pairs(tmp_path / "data", "train", sources, targets[::-1])
    changed = trained_on(mtcli, tmp_path, prefix, corpus / "valid", "--max-steps", "4")
    assert_refused(changed, 3)
    assert "the corpora have changed since this run began" in changed.err
    other = trained_on(mtcli, tmp_path, prefix, corpus / "valid", "--model-dim", "64")
    assert_refused(other, 2)
    assert "--model-dim: 32 there, 64 now" in other.err


def logged(run: Path, kind: str) -> list[float]:
    """The losses of one kind of event."""
    events = map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [event["loss"] for event in events if event["event"] == kind]


def test_fine_tuning_begins_where_the_other_run_ended(
    trained: TrainedRun, mtcli: Mtcli, corpus: Path, tmp_path: Path
) -> None:
    """On other sentences; the same ones judge both, and the first step hardly changes a thing."""
    sides = [(corpus / f"test.{language}").read_text(encoding="utf-8").splitlines() for language in ("en", "de")]
    own = pairs(tmp_path / "own", "train", *sides)
    flags = shlex.split("-s en -t de --lr 1e-3 --warmup-steps 1000 --max-steps 3 --validate-every 1 --metric loss")
    flags += shlex.split("--validation-lines 8 --max-output-ratio 1 --threads 1 --precision fp32 --device cpu")
    arguments = ["train", "--init-from", trained.path, "--train", own, "--valid", corpus / "valid", *flags]
    done = mtcli(*arguments, "-o", tmp_path / "tuned")
    assert done.code == 0, done.err
    assert f"beginning with the weights of {trained.path / 'checkpoints'}" in done.err
    before, after = (logged(run, "validation") for run in (trained.path, tmp_path / "tuned"))
    assert after[0] == pytest.approx(min(before), rel=0.01)
    refused = mtcli(*arguments, "--model-dim", 64, "--heads", 4, "-o", tmp_path / "other")
    assert_refused(refused, 2)
    assert "--model-dim: 32 there, 64 now" in refused.err
    assert "--heads: 2 there, 4 now" in refused.err
