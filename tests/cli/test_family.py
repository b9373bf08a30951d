"""Models of every family through every command, and what is said to wishes and sentences that they cannot fulfil."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Done, Mtcli, write

KINDS = {
    "linear": "--encoder-attention linear --decoder-attention performer --cross-attention linear",
    "windows": "--encoder-attention longformer --decoder-attention block-local --positions rope --norm post",
    "blocks": "--positions t5 --normalization rmsnorm --activation swiglu --key-value-heads 1 --qk-norm",
    "bounded": "--positions learned --cross-attention linformer --max-positions 80 --max-length 79",
    "lstm": "--architecture recurrent --cross-attention luong-general --alignment local-p --cell lstm",
    "bottleneck": "--architecture recurrent --cross-attention none",
}
WITHOUT_WEIGHTS = ("bounded", "bottleneck")
LONG = " ".join(["Hello"] * 120)


def train(mtcli: Mtcli, corpus: Path, out: Path, words: str, steps: int = 10) -> Done:
    data = ["--train", corpus / "train", "--valid", corpus / "valid", *TINY, "-o", out]
    ending = ["--max-steps", steps, "--validate-every", 5, "--save-every", 5]
    return mtcli("train", *data, *ending, *shlex.split(words))


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_takes_every_family(kind: str, mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    run, mean = tmp_path / "run", tmp_path / "mean"
    assert train(mtcli, corpus, run, KINDS[kind]).code == 0
    assert mtcli("average", run, "--last", 2, "-o", mean).code == 0
    files = [corpus / "test.en", corpus / "test.de"]
    for model in (run, mean):
        assert len(mtcli("translate", "-m", model, "--beam-size", 5, stdin=b"Hello\n\nGood morning\n").lines) == 3
        assert len(mtcli("translate", "-m", model, "--sample", stdin=b"Hello\n").lines) == 1
        assert len(mtcli("score", "-m", model, *files).lines) == 20
        assert "BLEU" in mtcli("eval", "-m", model, *files).out
        assert mtcli("info", model).code == 0
    done = mtcli("translate", "-m", run, "--alignments", tmp_path / "links", stdin=b"Hello\n")
    assert done.code == (2 if kind in WITHOUT_WEIGHTS else 0)
    assert (tmp_path / "links").exists() == (done.code == 0)
    assert ("--alignments needs weights of source words" in done.err) == (done.code == 2)


def test_an_impossible_model_is_refused_with_every_reason_before_anything_is_read(
    mtcli: Mtcli, tmp_path: Path
) -> None:
    done = mtcli(
        *("train", "--train", tmp_path / "none", "--valid", tmp_path / "none", "-s", "en", "-t", "de"),
        *("-o", tmp_path / "run", "--decoder-attention", "linformer", "--cross-attention", "longformer"),
        *("--encoder-attention", "linear", "--positions", "t5", "--model-dim", 30),
    )
    assert done.code == 2
    assert "this model cannot be built" in done.err
    for reason in (
        "linformer cannot be causal",
        "longformer cannot attend to another",
        "linear never forms",
        "4 heads",
    ):
        assert reason in done.err
    assert "none" not in done.err


@pytest.mark.parametrize("words", ["--positions learned", "--encoder-attention linformer"])
def test_pairs_that_a_bounded_model_cannot_hold_are_refused_before_anything_is_read(
    words: str, mtcli: Mtcli, tmp_path: Path
) -> None:
    done = train(mtcli, tmp_path / "none", tmp_path / "run", f"{words} --max-positions 40")
    assert done.code == 2
    assert "holds at most 40 tokens, EOS included, but training pairs may have 257" in done.err
    assert "--max-length 39" in done.err


def test_a_sentence_beyond_the_models_end_is_translated_in_parts_but_not_scored(
    mtcli: Mtcli, corpus: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(mtcli, corpus, run, KINDS["bounded"])
    done = mtcli("translate", "-m", run, stdin=f"Hello\n{LONG}\n".encode())
    assert (done.code, len(done.lines)) == (0, 2)
    assert "1 line was too long for the model and translated in parts (first: 2)" in done.err
    short, long = write(tmp_path / "short", ["Hello"] * 2), write(tmp_path / "long", ["Hello", LONG])
    for sides in ((short, long), (long, short)):
        done = mtcli("score", "-m", run, *sides)
        assert done.code == 3
        assert "line 2 has" in done.err
        assert "more than the 79" in done.err
