"""What `mtcli translate` says of its translations beside their text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mtcli.decoding.alignment import Links
from mtcli.decoding.evidence import Examiner, Segment
from mtcli.decoding.places import words
from tests.cli.conftest import Mtcli, write

FLAGS = {"truncated", "looping", "copied_source", "numbers_lost", "length_suspicious"}
LINES = ["This coat is new.", "", "The old woman is reading a book in 1984.", "Hello"]
STDIN = "\n".join(LINES).encode()


def entries(lines: list[str]) -> list[dict]:
    return [json.loads(line) for line in lines]


def pairs(alignment: str) -> list[tuple[int, int]]:
    return [(int(i), int(j)) for i, j in (link.split("-") for link in alignment.split())]


def test_json_has_pieces_log_probs_links_and_flags(mtcli: Mtcli, model: Path) -> None:
    done = mtcli("translate", "-m", model, "--format", "jsonl", "--n-best", 3, stdin=STDIN)
    for line, entry in zip(LINES, entries(done.lines), strict=True):
        assert len(entry["translations"]) == (3 if line else 0)
        for found in entry["translations"]:
            assert len(found["pieces"]) == len(found["token_log_probs"])
            assert found["truncated"] == (found["pieces"][-1:] != ["</s>"])
            assert sum(found["token_log_probs"]) == pytest.approx(found["log_prob"], abs=1e-4)
            assert all(isinstance(found[flag], bool) for flag in FLAGS)
            links = pairs(found["alignment"])
            assert [j for _, j in sorted(links, key=lambda link: link[1])] == list(range(len(words(found["text"]))))
            assert all(i < len(line.split()) for i, _ in links)


def test_alignments_are_written_line_by_line_beside_any_format(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    flags = ["translate", "-m", model, "--greedy", "--format"]
    told = mtcli(*flags, "jsonl", stdin=STDIN)
    expected = [entry["translations"][0]["alignment"] if entry["source"] else "" for entry in entries(told.lines)]
    for format in ("text", "tsv", "jsonl"):
        plain = told if format == "jsonl" else mtcli(*flags, format, stdin=STDIN)
        done = mtcli(*flags, format, "--alignments", tmp_path / "links", stdin=STDIN)
        assert (done.code, done.out, done.err) == (0, plain.out, plain.err)
        assert (tmp_path / "links").read_text(encoding="utf-8").split("\n") == [*expected, ""]


def test_links_are_computed_once(mtcli: Mtcli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, links = [], Examiner.links

    def spy(self: Examiner, found: Sequence[Segment]) -> list[Links]:
        looked.extend(found)
        return links(self, found)

    monkeypatch.setattr(Examiner, "links", spy)
    flags = ["translate", "-m", model, "--alignments", tmp_path / "links", "--format"]
    for format, count in (("text", 1), ("jsonl", 3)):
        looked.clear()
        assert mtcli(*flags, format, *(["--n-best", 3] if count > 1 else []), stdin=STDIN).code == 0
        assert len(looked) == count * len([line for line in LINES if line])


def test_what_is_read_is_not_overwritten(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    source, reference = write(tmp_path / "source", LINES), write(tmp_path / "reference", LINES)
    for arguments in (
        ("translate", "-m", model, source, "--alignments", source),
        ("eval", "-m", model, source, reference, "-o", reference),
        ("eval", "-i", source, reference, "-o", source),
    ):
        done = mtcli(*arguments)
        assert (done.code, done.out) == (2, "")
        assert f"{arguments[-1]} would be overwritten before it is read" in done.err
        assert source.read_text(encoding="utf-8") == reference.read_text(encoding="utf-8") != ""


def test_a_file_that_cannot_be_written_is_named(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    done = mtcli("translate", "-m", model, "--alignments", tmp_path / "none" / "links", stdin=STDIN)
    assert (done.code, done.out) == (5, "")
    assert str(tmp_path / "none" / "links") in done.err


@pytest.mark.parametrize("format", ["text", "tsv", "jsonl"])
def test_what_was_cut_is_said_in_every_format(format: str, mtcli: Mtcli, model: Path) -> None:
    """Twenty tokens more than a tiny share of the source are too few for a line that is cut in no place."""
    line = " ".join(LINES[2].rstrip(".") for _ in range(12))
    done = mtcli(
        *("translate", "-m", model, "--greedy", "--format", format, "--max-output-ratio", 0.001),
        stdin=f"{line}\n{line}\n".encode(),
    )
    assert "2 lines were translated only up to the limit" in done.err
    assert "(first: 1, 2)" in done.err
    if format == "jsonl":
        assert [entry["translations"][0]["truncated"] for entry in entries(done.lines)] == [True, True]


@pytest.mark.parametrize("format", ["text", "tsv", "jsonl"])
def test_what_was_split_is_said_in_every_format(format: str, mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    line = "The old woman is reading a book. " * 150
    links = tmp_path / "links"
    done = mtcli(
        *("translate", "-m", model, "--greedy", "--format", format, "--max-output-ratio", 0.01),
        *("--alignments", links),
        stdin=f"Hello\n{line}\n".encode(),
    )
    assert "1 line was too long for the model and translated in parts (first: 2)" in done.err
    aligned = pairs(links.read_text(encoding="utf-8").split("\n")[1])
    assert len({i for i, _ in aligned}) > 1
    assert all(i < len(line.split()) for i, _ in aligned)
    if format == "jsonl":
        short, long = entries(done.lines)
        assert (short["split"], long["split"]) == (False, True)
        (found,) = long["translations"]
        assert found["pieces"].count("</s>") < 2 or not found["truncated"]
        assert sum(found["token_log_probs"]) == pytest.approx(found["log_prob"], rel=1e-4)
        assert {j for _, j in aligned} == set(range(len(words(found["text"]))))
