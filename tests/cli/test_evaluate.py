"""`mtcli eval` and `mtcli score`: the figures of sacreBLEU's own command line, and one number per pair."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mtcli.checkpoint.restore import restore
from mtcli.layout import BOS, EOS, Batch
from tests.cli.conftest import Mtcli, write


def sacrebleu(reference: Path, hypotheses: Path) -> list[dict[str, object]]:
    """What sacreBLEU's command line says."""
    command = [sys.executable, "-m", "sacrebleu", reference, "-i", hypotheses, "-m", "bleu", "chrf", "ter", "-w", "4"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_figures_and_signatures_are_those_of_sacrebleu(mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    lines = (corpus / "test.de").read_text(encoding="utf-8").split("\n")[:-1]
    guesses = [
        line.replace("die", "der").replace(" nicht", "") if number % 3 else line for number, line in enumerate(lines)
    ]
    hypotheses = write(tmp_path / "guesses", guesses)
    metrics = ["--metrics", "bleu", "--metrics", "chrf", "--metrics", "ter"]
    done = mtcli("eval", "-i", hypotheses, corpus / "test.de", *metrics, "--json")
    assert done.code == 0, done.err
    for mine, theirs in zip(json.loads(done.out), sacrebleu(corpus / "test.de", hypotheses), strict=True):
        assert 0 < mine["value"] < 100
        assert f"{mine['value']:.4f}" == f"{theirs['score']:.4f}"
        assert mine["signature"] == theirs["signature"]
        assert mine["name"] == theirs["name"]


def test_a_model_is_scored_on_what_it_translates(mtcli: Mtcli, model: Path, corpus: Path, tmp_path: Path) -> None:
    files = [corpus / "test.en", corpus / "test.de"]
    scored = mtcli("eval", "-m", model, *files, "--json", "-o", tmp_path / "out")
    assert scored.code == 0, scored.err
    assert (tmp_path / "out").read_text(encoding="utf-8") == mtcli("translate", "-m", model, files[0]).out
    again = mtcli("eval", "-i", tmp_path / "out", files[1], "--json")
    assert json.loads(scored.out) == json.loads(again.out)


def test_what_was_cut_or_split_is_said(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    line = "The old woman is reading a book. "
    sources, references = write(tmp_path / "en", ["Hello", line * 150]), write(tmp_path / "de", ["Hallo", "Buch"])
    done = mtcli("eval", "-m", model, sources, references, "--max-output-ratio", 0.01, "--json")
    assert done.code == 0
    assert "1 line was too long for the model and translated in parts (first: 2)" in done.err
    assert "translated only up to the limit" in done.err
    assert len(json.loads(done.out)) == 2


def test_people_read_figure_and_signature(mtcli: Mtcli, corpus: Path) -> None:
    done = mtcli("eval", "-i", corpus / "test.de", corpus / "test.de", "--bootstrap", 10)
    assert done.code == 0
    assert done.lines[0].startswith("BLEU 100.00  [100.00, 100.00]")
    assert "tok:13a" in done.lines[1]
    assert not any(line.endswith(" ") for line in done.lines)


def test_the_target_language_chooses_the_tokenizer(mtcli: Mtcli, tmp_path: Path) -> None:
    text = write(tmp_path / "text", ["我喜欢读书和写字。"])
    done = mtcli("eval", "-i", text, text, "-t", "zh")
    assert "tok:zh" in done.out


@pytest.mark.parametrize("command", ["eval -i", "eval -m", "score -m"])
def test_unequal_counts_are_refused_before_anything(
    command: str, mtcli: Mtcli, model: Path, corpus: Path, tmp_path: Path
) -> None:
    short = write(tmp_path / "short", ["one", "two"])
    files = [short, corpus / "test.de"]
    done = mtcli(*command.split(), *([] if command == "eval -i" else [model]), *files)
    assert (done.code, done.out) == (3, "")
    assert f"{short} has 2 lines but {corpus / 'test.de'} has 20" in done.err


def test_empty_files_cannot_be_scored(mtcli: Mtcli, tmp_path: Path) -> None:
    empty = write(tmp_path / "empty", [])
    assert mtcli("eval", "-i", empty, empty).code == 3


def test_an_output_that_cannot_be_written_is_found_before_translating(
    mtcli: Mtcli, model: Path, corpus: Path
) -> None:
    done = mtcli("eval", "-m", model, corpus / "test.en", corpus / "test.de", "-o", corpus / "test.en" / "out")
    assert (done.code, done.out) == (5, "")
    assert str(corpus / "test.en" / "out") in done.err


def test_score_gives_a_log_probability_for_every_pair(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    sources = write(tmp_path / "sources", ["This coat is new.", "", "This coat is new."])
    targets = write(tmp_path / "targets", ["Dieser Mantel ist neu.", "", ""])
    done = mtcli("score", "-m", model, sources, targets)
    assert done.code == 0, done.err
    assert all(float(line) < 0 for line in done.lines)
    assert len(done.lines) == 3


def test_scores_are_those_of_one_step_after_another_in_float64(mtcli: Mtcli, model: Path, corpus: Path) -> None:
    restored = restore(model, torch.device("cpu"))
    network, tokenizer = restored.model.double(), restored.tokenizer
    texts = [(corpus / f"test.{side}").read_text(encoding="utf-8").split("\n")[:-1] for side in ("en", "de")]
    expected = []
    for source, target in zip(*texts, strict=True):
        (read,), (wanted,) = tokenizer.encode_source([source]), tokenizer.encode_target([target])
        batch = Batch.of([read], [wanted])
        state = network.start(network.encode(batch.source, batch.source_rows))
        log_prob, fed = 0.0, BOS
        for token in [*wanted, EOS]:
            logits, state = network.step(torch.tensor([fed]), state)
            log_prob, fed = log_prob + logits[0].log_softmax(-1)[token].item(), token
        expected.append(log_prob)
    done = mtcli("score", "-m", model, corpus / "test.en", corpus / "test.de")
    assert [float(line) for line in done.lines] == pytest.approx(expected, rel=1e-4)


def test_score_refuses_a_line_beyond_any_model(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    sources = write(tmp_path / "sources", ["a", "a b c d e f g " * 70_000])
    targets = write(tmp_path / "targets", ["a", "b"])
    done = mtcli("score", "-m", model, sources, targets)
    assert (done.code, done.out) == (3, "")
    assert "line 2" in done.err
