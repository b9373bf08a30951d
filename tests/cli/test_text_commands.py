"""`mtcli tokenizer` and `mtcli data check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Mtcli, pairs
from tests.cli.test_usage import assert_refused


@pytest.mark.parametrize("kind", [["--joint"], ["--no-joint"]])
def test_text_comes_back_from_its_tokens(kind: list[str], mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    flags = ["-s", "en", "-t", "de", "--vocab-size", 350, *kind]
    done = mtcli("tokenizer", "train", corpus / "train", *flags, "-o", tmp_path / "tok en")
    assert (done.code, done.out) == (0, ""), done.err
    assert "200 read = 200 kept" in done.err
    assert f"mtcli train --tokenizer '{tmp_path / 'tok en'}'" in done.err
    text = (corpus / "test.de").read_text(encoding="utf-8") + "\n漢字 \U0001f600 [/b]\n"
    encode = ["tokenizer", "encode", "-m", tmp_path / "tok en", "--side", "target"]
    numbers = mtcli(*encode, "--ids", stdin=text.encode())
    assert mtcli("tokenizer", "decode", "-m", tmp_path / "tok en", stdin=numbers.out.encode()).out == text
    pieces = mtcli(*encode, stdin=text.encode())
    assert [len(line.split()) for line in pieces.lines] == [len(line.split()) for line in numbers.lines]
    assert "\u2581" in pieces.out


def test_the_tokenizer_of_a_run_is_that_of_its_checkpoints(mtcli: Mtcli, model: Path) -> None:
    outputs = {
        mtcli("tokenizer", "encode", "-m", path, stdin=b"This coat is new.\n").out
        for path in (model, model / "tokenizer", model / "checkpoints" / "step-80")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("line", [b"5 x\n", b"5 -1\n", b"99999\n", b"1" * 5000 + b"\n", "²\n".encode()])
def test_what_is_no_token_is_refused_with_its_line(line: bytes, mtcli: Mtcli, model: Path) -> None:
    done = mtcli("tokenizer", "decode", "-m", model, stdin=b"\n" + line)
    assert done.code == 3
    assert "line 2 is no line of token numbers" in done.err


def test_data_check_counts_and_warns(mtcli: Mtcli, model: Path, corpus: Path, tmp_path: Path) -> None:
    sources, targets = ["one", "two [/b]", "", "same", "one"], ["eins", "zwei", "", "same", "eins"]
    prefix = pairs(tmp_path, "train", sources, targets)
    arguments = ["data", "check", prefix, "-s", "en", "-t", "de", "--valid", prefix, "--test", corpus / "test"]
    done = mtcli(*arguments, "-m", model, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert {name: report["training"][name] for name in ("read", "kept", "copies", "repeated_pairs")} == {
        "read": 5,
        "kept": 4,
        "copies": 1,
        "repeated_pairs": 1,
    }
    assert report["validation"]["in_training"]["pairs"] == 4
    assert report["test"]["in_training"] == {"sources": 0, "pairs": 0}
    text = mtcli(*arguments)
    assert ["repeated", "pairs", "1", "1", "0"] in [line.split() for line in text.out.split("\n")]
    assert text.err.count("warning: ") == len(report["warnings"]) > 0


def test_data_check_refuses_what_train_would_refuse(mtcli: Mtcli, tmp_path: Path) -> None:
    prefix = pairs(tmp_path, "train", ["one", "two"], ["eins"])
    assert_refused(mtcli("data", "check", prefix, "-s", "en", "-t", "de"), 3)
