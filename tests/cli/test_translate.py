"""`mtcli translate`: as many lines out as in, in order, whatever the lines are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from mtcli.decoding.workers import possible
from mtcli.device import bf16_speedup
from tests.cli.conftest import Mtcli

LONG = b"The old woman is reading a book. " * 31_000  # about 1 MB

STRANGE = {
    "nothing": (b"", 0),
    "one empty line": (b"\n", 1),
    "empty lines": (b"\n\nThis coat is new.\n\n", 4),
    "no last line end": (b"This coat is new.\nHello", 2),
    "byte order mark": (b"\xef\xbb\xbfThis coat is new.\n", 1),
    "carriage returns": (b"This coat is new.\r\n\r\nHello\r\n", 3),
    "carriage returns within": (b"This\rcoat\n", 1),
    "line separators": ("This\u2028coat\u2029is\u0085new\x0b.\x0c\n".encode(), 1),
    "invalid UTF-8": (b"This \xff\xfe\xc3\n\x80\nHello\n", 3),
    "NUL and control characters": (b"This\x00coat\x1b[31m\x07\n\x00\n", 2),
    "markup": (b"[/b] [bold]coat[/] [link=x]\n", 1),
    "emoji": ("\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea\n".encode(), 1),
    "combining marks": (("a" + "\u0301\u0323" * 3000 + "\n").encode(), 1),
    "white space": (" \t \u00a0\u3000\n".encode(), 1),
}


@pytest.mark.parametrize("case", STRANGE)
def test_lines_out_are_lines_in(case: str, mtcli: Mtcli, model: Path) -> None:
    stdin, count = STRANGE[case]
    done = mtcli("translate", "-m", model, "--greedy", stdin=stdin)
    assert done.code == 0, done.err
    assert len(done.lines) == count
    assert "\r" not in done.out


def test_empty_lines_stay_empty_and_others_do_not(mtcli: Mtcli, model: Path) -> None:
    done = mtcli("translate", "-m", model, stdin=b"This coat is new.\n\n \nHello\n")
    assert [bool(line) for line in done.lines] == [True, False, False, True]


def test_lines_that_are_not_utf8_are_counted(mtcli: Mtcli, model: Path) -> None:
    done = mtcli("translate", "-m", model, "--greedy", stdin=b"\xff\nHello\n" * 5)
    assert "5 lines of stdin" in done.err
    assert "1, 3, 5" in done.err


def test_a_line_of_a_megabyte_is_translated_in_parts_and_said(mtcli: Mtcli, model: Path) -> None:
    done = mtcli(
        "translate", "-m", model, "--greedy", "--max-output-ratio", 0.01, stdin=b"Hello\n" + LONG + b"\nNo\n"
    )
    assert done.code == 0
    assert len(done.lines) == 3
    assert "1 line was too long for the model and translated in parts (first: 2)" in done.err


def test_a_translation_depends_on_its_own_line_only(mtcli: Mtcli, model: Path, corpus: Path) -> None:
    lines = (corpus / "test.en").read_bytes().split(b"\n")[:6]
    together = mtcli("translate", "-m", model, stdin=b"\n".join(lines)).lines
    apart = [mtcli("translate", "-m", model, stdin=line).lines[0] for line in lines]
    assert together == apart


def test_a_file_is_translated_like_stdin_compressed_or_not(
    mtcli: Mtcli, model: Path, corpus: Path, tmp_path: Path
) -> None:
    text = (corpus / "test.en").read_bytes()
    (tmp_path / "test.gz").write_bytes(gzip.compress(text))
    expected = mtcli("translate", "-m", model, "--greedy", stdin=text)
    assert len(expected.lines) == 20
    for file in (corpus / "test.en", tmp_path / "test.gz"):
        assert mtcli("translate", "-m", model, "--greedy", file).out == expected.out


def test_more_lines_than_a_chunk_stay_in_order(mtcli: Mtcli, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtcli.cli.translate.FIRST_CHUNK", 2)
    monkeypatch.setattr("mtcli.cli.translate.CHUNK", 8)
    lines = [f"This coat number {number}" for number in range(21)]
    done = mtcli("translate", "-m", model, "--greedy", "--format", "jsonl", stdin="\n".join(lines).encode())
    entries = [json.loads(line) for line in done.lines]
    assert [entry["source"] for entry in entries] == lines
    assert [entry["line"] for entry in entries] == list(range(1, 22))


def test_table_and_json_say_the_same(mtcli: Mtcli, model: Path) -> None:
    stdin = b"This coat is new.\n\nHe is \t here.\n"
    flags = ["translate", "-m", model, "--n-best", 3, "--beam-size", 4]
    table = [line.split("\t") for line in mtcli(*flags, "--format", "tsv", stdin=stdin).lines]
    entries = [json.loads(line) for line in mtcli(*flags, "--format", "jsonl", stdin=stdin).lines]
    assert [len(entry["translations"]) for entry in entries] == [3, 0, 3]
    rows = [
        [str(entry["line"]), str(rank), f"{found['score']:.6f}", found["text"]]
        for entry in entries
        for rank, found in enumerate(entry["translations"], 1)
    ]
    assert [row for row in table if row[0] != "2"] == rows
    assert ["2", "1", "", ""] in table


def test_sampling_repeats_itself_until_the_seed_changes(mtcli: Mtcli, model: Path) -> None:
    def sampled(seed: int) -> str:
        flags = ["--sample", "--sampling-seed", seed, "--top-k", 50, "--top-p", 0.95, "--temperature", 2]
        return mtcli("translate", "-m", model, *flags, stdin=b"This coat is new.\n").out

    assert sampled(1) == sampled(1)
    assert len({sampled(seed) for seed in range(1, 6)}) > 1


STRATEGIES = {
    "diverse": "--diversity-groups 2 --beam-size 4 --diversity-strength 3",
    "patient": "--beam-size 3 --beam-patience 0 --length-normalization gnmt --length-penalty 0.6",
    "covering": "--beam-size 3 --coverage-penalty 0.5",
    "filtered": "--decoding sample --min-p 0.1 --epsilon-cutoff 0.01",
    "mbr": "--decoding mbr --mbr-samples 8 --mbr-utility bleu",
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_translates_and_is_scored_alike(
    name: str, mtcli: Mtcli, model: Path, corpus: Path, tmp_path: Path
) -> None:
    flags, files = STRATEGIES[name].split(), [corpus / "test.en", corpus / "test.de"]
    done = mtcli("translate", "-m", model, *flags, files[0])
    assert (done.code, len(done.lines)) == (0, 20), done.err
    assert mtcli("eval", "-m", model, *flags, *files, "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out").read_text(encoding="utf-8") == done.out


def test_lists_of_mbr_are_sorted_by_expected_utility(mtcli: Mtcli, model: Path) -> None:
    flags = ["--decoding", "mbr", "--temperature", 2, "--n-best", 5, "--format", "jsonl"]
    done = mtcli("translate", "-m", model, *flags, stdin=b"This coat is new.\nHe is here.\n")
    for entry in map(json.loads, done.lines):
        scores = [found["score"] for found in entry["translations"]]
        assert len(scores) == len({found["text"] for found in entry["translations"]}) > 1
        assert scores == sorted(scores, reverse=True)
        assert all(0 < score <= 100 for score in scores)
        assert all(found["log_prob"] < 0 for found in entry["translations"])


@pytest.mark.skipif(not possible(), reason="this system cannot fork")
def test_workers_change_nothing(mtcli: Mtcli, model: Path, corpus: Path, tmp_path: Path) -> None:
    flags, files = (
        ["-m", model, "--decoding", "greedy", "--batch-tokens", 60],
        [corpus / "test.en", corpus / "test.de"],
    )
    expected = mtcli("translate", *flags, "--workers", 1, files[0])
    assert (expected.code, len(expected.lines)) == (0, 20)
    assert mtcli("translate", *flags, "--workers", 2, files[0]) == expected
    assert mtcli("eval", *flags, "--workers", 2, *files, "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out").read_text(encoding="utf-8") == expected.out


@pytest.mark.parametrize(("precision", "error"), [("bf16", 0.01), ("fp16", 0.001), ("int8", 0.01), ("auto", 0.01)])
def test_other_precisions_change_little(
    precision: str, error: float, mtcli: Mtcli, model: Path, corpus: Path
) -> None:
    if precision == "bf16" and bf16_speedup() is None:
        pytest.skip("this processor cannot compute in bf16")
    source, flags = corpus / "test.en", ["-m", model, "--precision", precision, "--device", "cpu"]
    done = mtcli("translate", *flags, source)
    assert (done.code, len(done.lines)) == (0, 20), done.err
    pairs = ["score", "-m", model, source, corpus / "test.de"]
    exact, found = ([float(line) for line in mtcli(*pairs, *more).lines] for more in ([], flags[2:]))
    assert found == pytest.approx(exact, rel=error)
    assert precision == "auto" or found != exact


def test_a_missing_file_is_named(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    done = mtcli("translate", "-m", model, tmp_path / "nowhere.txt")
    assert (done.code, done.out) == (3, "")
    assert str(tmp_path / "nowhere.txt") in done.err


def test_a_truncated_archive_gives_its_lines_and_an_error(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    lines = [f"This coat number {number * 7919} is new." for number in range(60)]
    whole = gzip.compress("".join(f"{line}\n" for line in lines).encode())
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) * 2 // 3])
    done = mtcli("translate", "-m", model, "--greedy", tmp_path / "cut.gz")
    assert done.code == 3
    assert 0 < len(done.lines) < 60
    assert f"after {len(done.lines)} lines" in done.err
