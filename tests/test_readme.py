"""The commands of the documents run as they stand there: every block whose info string is `sh test`, in order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```sh test\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHORTER = " --max-steps 20 --validate-every 20 --validation-lines 20 --save-every 5"
"""Appended to every `mtcli train`: a later flag overrides an earlier one."""
SMALLER = " --model-dim 32 --heads 2 --feed-forward-dim 64 --encoder-layers 1 --decoder-layers 1 --vocab-size 400"
QUICKER = f"{SMALLER} --max-tokens 512 --max-steps 80 --validate-every 80 --save-every 80 --warmup-steps 20 --lr 1e-2"
"""For models whose translations others learn from: these may not all be empty lines."""
DOCUMENTS = {"README.md": SHORTER, "docs/recipes.md": SHORTER + QUICKER}
"""The documents, and what is appended to every `mtcli train` in them."""

RESULTS = (
    "translate",
    "eval",
    "score",
    "info",
    "tokenizer encode",
    "tokenizer decode",
    "data check",
    "bench translate",
    "bench train",
)
"""The commands that print results."""


@dataclass(frozen=True)
class Ran:
    """One command of a document, as it was run."""

    command: str
    code: int
    out: str
    err: str


def commands(text: str) -> Iterator[str]:
    """The commands in the marked blocks, continued lines joined, comments and empty lines left out."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").split("\n"):
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip()


def shortened(command: str, shorter: str) -> str:
    """The command with less training; a comment behind it is left out, since flags are appended."""
    return command.partition(" # ")[0].rstrip() + shorter if re.search(r"\bmtcli train\b", command) else command


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A directory with the sample corpus, the recipes and `mtcli`."""
    shutil.copytree(CHECKOUT / "data", tmp_path / "data")
    program = tmp_path / "bin" / "mtcli"
    program.parent.mkdir()
    python = f'#!/bin/sh\nexec "{sys.executable}" -c "from mtcli.cli.main import main; main()" "$@"\n'
    program.write_text(python, encoding="utf-8")
    program.chmod(0o755)
    return tmp_path


def run_all(text: str, room: Path, shorter: str = SHORTER) -> list[Ran]:
    """Run the commands of a text, one after the other; stop at the first that fails."""
    variables = {
        **os.environ,
        "PATH": f"{room / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
        "MTCLI_CACHE": str(room / "cache"),
    }
    ran: list[Ran] = []
    for command in commands(text):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", shortened(command, shorter)],
            cwd=room,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        ran.append(Ran(command, done.returncode, done.stdout, done.stderr))
        if done.returncode:
            break
    return ran


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_does_what_it_says(document: str, room: Path) -> None:
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    assert len(list(commands(text))) >= 3, "mark blocks of the document with ```sh test"
    for ran in run_all(text, room, DOCUMENTS[document]):
        assert ran.code == 0, f"{ran.command}\n{ran.err}"
        if re.search(rf"\bmtcli ({'|'.join(RESULTS)})\b", ran.command):
            # A model of twenty steps may well translate a sentence into nothing, but a line it is.
            assert ran.out or ">" in ran.command, ran.command
        else:
            assert ran.out.strip() or ran.err.strip() or "mtcli" not in ran.command, ran.command


EXAMPLE = """
```sh
not run
```
```sh test
# a comment
mtcli data check data/sample/train -s en \\
    -t de > counts

cat counts
```
```sh test
mtcli --version
mtcli nonsense
mtcli --version
```
"""


def test_marked_blocks_run_in_order_until_one_fails(room: Path) -> None:
    ran = run_all(EXAMPLE, room)
    assert [each.code for each in ran] == [0, 0, 0, 2]
    assert ["pairs", "kept", "8,000"] in [line.split() for line in ran[1].out.split("\n")]
    assert ran[2].out.startswith("mtcli ")
    assert "error: no such command 'nonsense'" in ran[3].err


def test_only_training_is_cut_short() -> None:
    train, translate = commands("```sh test\nmtcli train x -o y # learn\nmtcli translate -m y\n```\n")
    assert shortened(train, " --max-steps 1") == "mtcli train x -o y --max-steps 1"
    assert shortened(translate, " --max-steps 1") == translate
