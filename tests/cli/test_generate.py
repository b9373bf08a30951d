"""`mtcli data generate`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.cli.conftest import Mtcli
from tests.cli.test_usage import assert_refused


def test_it_says_what_was_written_and_what_comes_next(mtcli: Mtcli, tmp_path: Path) -> None:
    done = mtcli("data", "generate", "copy", "-o", tmp_path / "my copy", "--lines", 1000, "--symbols", 3)
    assert (done.code, done.out) == (0, ""), done.err
    written, following = done.err.rstrip("\n").split("\n")
    assert written == f"wrote 1,000 pairs to {tmp_path}/my copy.in and {tmp_path}/my copy.out"
    assert following.startswith(f"next: mtcli train --train '{tmp_path}/my copy' -s in -t out")
    assert (tmp_path / "my copy.in").read_text("utf-8").count("\n") == 1000


def test_flags_name_languages_lengths_and_seed(mtcli: Mtcli, tmp_path: Path) -> None:
    flags = ["--lines", 20, "--min-length", 4, "--max-length", 4, "-s", "x", "-t", "y"]
    for prefix, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = mtcli("data", "generate", "memory-game", "-o", tmp_path / prefix, *flags, "--seed", seed)
        assert done.code == 0, done.err
    digests = {path.name: hashlib.sha256(path.read_bytes()).digest() for path in tmp_path.glob("?.?")}
    assert digests["a.x"] == digests["b.x"] != digests["c.x"]
    assert digests["a.y"] == digests["b.y"] != digests["c.y"]
    assert {len(line.split()) for line in (tmp_path / "a.x").read_text("utf-8").splitlines()} == {4}
    assert {len(line.split()) for line in (tmp_path / "a.y").read_text("utf-8").splitlines()} == {1}


def test_what_exists_is_not_overwritten(mtcli: Mtcli, tmp_path: Path) -> None:
    (tmp_path / "x.out").write_text("mine", encoding="utf-8")
    done = mtcli("data", "generate", "sort", "-o", tmp_path / "x")
    assert_refused(done, 2)
    assert "x.out exists already" in done.err
    assert not (tmp_path / "x.in").exists()
