"""`mtcli train --alignments FILE --guided-alignment WEIGHT`, and what `mtcli translate --alignments` then finds."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.cli.conftest import TINY, Mtcli, pairs, write
from tests.cli.test_usage import assert_refused

WORDS = {"one": "eins", "two": "zwei", "red": "rot", "dog": "hund", "cat": "katze"}
FLAGS = shlex.split("--max-steps 60 --validate-every 60 --label-smoothing 0 --schedule constant --positions learned")


def test_alignments_guide_and_are_found_again(mtcli: Mtcli, tmp_path: Path) -> None:
    """Two words change places in every translation; here, where the model is sure of its words."""
    sources = [f"{one} {two}" for one in WORDS for two in WORDS]
    targets = [f"{WORDS[two]} {WORDS[one]}" for one, two in map(str.split, sources)]
    corpus = pairs(tmp_path, "train", ["", *sources], ["eins", *targets])
    links = write(tmp_path / "train.links", ["", *["0-1 1-0"] * len(sources)])
    arguments = ["train", "--train", corpus, "--valid", corpus, *TINY, *FLAGS, "--alignments", links]
    done = mtcli(*arguments, "--guided-alignment", 1, "-o", tmp_path / "run")
    assert done.code == 0, done.err
    found = tmp_path / "found"
    text = "".join(f"{line}\n" for line in sources).encode()
    done = mtcli("translate", "-m", tmp_path / "run", "--device", "cpu", "--alignments", found, stdin=text)
    assert done.lines == targets
    assert found.read_text().splitlines() == ["0-1 1-0"] * len(sources)


def test_a_file_of_another_corpus_is_refused(mtcli: Mtcli, corpus: Path, tmp_path: Path) -> None:
    links = write(tmp_path / "links", ["0-0"] * 7)
    data = ["--train", corpus / "train", "--valid", corpus / "valid", "--alignments", links]
    done = mtcli("train", *data, *TINY, "--max-steps", 1, "--guided-alignment", 1, "-o", tmp_path / "run")
    assert_refused(done, 3)
    assert f"{links} has 7 lines but the corpus {corpus / 'train'} has 200 pairs" in done.err
