"""What benchmarks that train by `mtcli train` share: commands of this checkout, and trainings that are done once."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import measure
from measure import child


def common(parser: argparse.ArgumentParser, name: str) -> None:
    """Take what all of them ask for: the corpora, their languages, and what the result is called."""
    for part in ("train", "valid", "test"):
        parser.add_argument(f"--{part}", type=Path, required=True, help="prefix of a corpus")
    parser.add_argument("-s", "--source-lang", default="en")
    parser.add_argument("-t", "--target-lang", default="de")
    parser.add_argument("--name", default=name, help="of the result's file")
    parser.add_argument("--title", help="[default: the name]")
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")


def program(*words: object) -> list[str]:
    """A command of this checkout."""
    return [sys.executable, "-m", "mtcli", *map(str, words)]


def environment(cache: Path) -> dict[str, str]:
    """What its process has to know: which checkout, and where encoded corpora are kept."""
    paths = [str(measure.ROOT), os.environ.get("PYTHONPATH", "")]
    return {"MTCLI_CACHE": str(cache.absolute()), "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def answer(command: Sequence[str], more: Mapping[str, str]) -> Any:
    """What a command prints as JSON."""
    done = subprocess.run(command, env={**os.environ, **more}, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def tokenizer(home: Path, corpus: Path, languages: Sequence[str], size: int, more: Mapping[str, str]) -> Path:
    """The tokenizer that all trainings share; trained unless it is there."""
    if not (home / "tokenizer.model").exists():
        source, target = languages
        words = ("tokenizer", "train", corpus, "-s", source, "-t", target, "--vocab-size", size, "-o", home)
        child(program(*words), more)
    return home


def once(home: Path, flags: Sequence[str], train: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of a training with these flags, from its folder if it is there and no failure.

    `SystemExit` if the folder holds one with other flags.
    """
    found = stored(home)
    if found and found["flags"] != flags:
        raise SystemExit(f"{home} holds a result with other flags; remove it, or choose another --work")
    if not found or "failure" in found:
        found = {"flags": flags, **train()}
        home.mkdir(parents=True, exist_ok=True)
        temporary = home / "result.json.new"
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        temporary.replace(home / "result.json")
    return found


def stored(home: Path) -> dict[str, Any] | None:
    """What a folder tells of a training that came to its end."""
    path = home / "result.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
