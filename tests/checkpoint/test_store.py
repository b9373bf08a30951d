"""What is saved is what is loaded, bit by bit; the directory holds the documented files; hostile ones are refused."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mtcli.checkpoint import durable, steps, store
from mtcli.errors import ModelError, UsageError
from tests.checkpoint.examples import example, files, same


@pytest.mark.parametrize("resume", [True, False])
def test_round_trip_is_bitwise(tmp_path: Path, resume: bool) -> None:
    checkpoint = example(resume=resume)
    path = store.save(tmp_path, checkpoint)
    assert path == tmp_path / "checkpoints" / "step-100"
    assert same(store.load(path, resume=True), checkpoint)
    assert same(store.load(path), replace(checkpoint, resume=None))


def test_equal_checkpoints_are_equal_bytes(tmp_path: Path) -> None:
    one, other = (store.save(tmp_path / name, example()) for name in "ab")
    assert [path.read_bytes() for path in files(one)] == [path.read_bytes() for path in files(other)]


def test_tied_tensors_are_stored_once_and_tied_again(tmp_path: Path) -> None:
    path = store.save(tmp_path, example())
    stored = safetensors.torch.load_file(path / "model.safetensors")
    tied = ["source_embedding.weight", "output.weight", "target_embedding.weight"]
    assert [name in stored for name in tied] == [True, False, False]
    weights = store.load(path).weights
    weights["output.weight"].zero_()
    assert all(not weights[name].any() for name in tied)
    assert weights["flat"].any(), "a view of another shape must not be tied"


def test_equal_tensors_that_are_not_tied_stay_apart(tmp_path: Path) -> None:
    checkpoint = replace(example(), weights={"one": torch.ones(3), "two": torch.ones(3)})
    weights = store.load(store.save(tmp_path, checkpoint)).weights
    weights["one"].zero_()
    assert weights["two"].all()


@pytest.mark.parametrize("tokenizer", [("tokenizer.model",), ("source.model", "target.model")])
@pytest.mark.parametrize("resume", [True, False])
def test_directory_holds_exactly_the_documented_files(
    tmp_path: Path, tokenizer: tuple[str, ...], resume: bool
) -> None:
    path = store.save(tmp_path, replace(example(resume=resume), tokenizer=dict.fromkeys(tokenizer, b"model")))
    training = ["training.safetensors", "training.json"] if resume else []
    documented = ["recipe.toml", "model.safetensors", "scores.json", "manifest.json", *tokenizer, *training]
    assert sorted(os.listdir(path)) == sorted(documented)
    assert os.listdir(path.parent) == ["step-100"]
    assert set(store.load(path).tokenizer) == set(tokenizer)


@pytest.mark.parametrize(("umask", "file_mode", "directory_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_modes_follow_the_umask(tmp_path: Path, umask: int, file_mode: int, directory_mode: int) -> None:
    before = os.umask(umask)
    try:
        path = store.save(tmp_path, example())
        steps.point(tmp_path, "best", 100)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in [*files(path), tmp_path / "best.json"]} == {file_mode}
    assert stat.S_IMODE(path.stat().st_mode) == directory_mode


def test_a_copy_is_complete(tmp_path: Path) -> None:
    checkpoint = example()
    store.save(tmp_path / "run", checkpoint).rename(tmp_path / "elsewhere")
    (tmp_path / "run" / "checkpoints").rmdir()
    assert same(store.load(steps.find(tmp_path / "elsewhere"), resume=True), checkpoint)


def test_a_whole_step_is_never_replaced(tmp_path: Path) -> None:
    checkpoint = example()
    path = store.save(tmp_path, checkpoint)
    before = {file: (file.read_bytes(), file.stat().st_ino) for file in files(path)}
    assert store.save(tmp_path, replace(checkpoint, scores={})) == path
    assert {file: (file.read_bytes(), file.stat().st_ino) for file in files(path)} == before


def test_a_damaged_step_is_replaced(tmp_path: Path) -> None:
    checkpoint = example()
    path = store.save(tmp_path, checkpoint)
    (path / "model.safetensors").write_bytes(b"")
    assert same(store.load(store.save(tmp_path, checkpoint), resume=True), checkpoint)
    assert os.listdir(path.parent) == ["step-100"]


def test_write_refuses_a_place_that_is_taken(tmp_path: Path) -> None:
    store.write(tmp_path / "average", example())
    with pytest.raises(UsageError, match="exists already"):
        store.write(tmp_path / "average", example())


def test_numbers_that_json_lacks_are_a_bug_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        store.save(tmp_path, replace(example(), scores={"bleu": float("nan")}))
    assert os.listdir(tmp_path / "checkpoints") == []


def rewritten(path: Path, name: str, data: bytes) -> Path:
    """A copy of a checkpoint in which one file is another and the manifest agrees: only the parsers can object."""
    contents = {file.name: file.read_bytes() for file in files(path) if file.name != "manifest.json"} | {name: data}

    def fill(temporary: Path) -> None:
        for each, content in contents.items():
            (temporary / each).write_bytes(content)

    durable.publish(path.parent / "rewritten", fill)
    return path.parent / "rewritten"


def weights_about(about: str) -> bytes:
    """A file of weights with this JSON about them."""
    return safetensors.torch.save({"weight": torch.ones(1)}, {"mtcli": "{" + about + "}"})


HOSTILE = {
    "empty": b"",
    "not text": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "list": b"[1]",
    "number": b"1",
    "long number": b'{"a": ' + b"9" * 5000 + b"}",
    "length beyond the end": b"\xff" * 8 + b"{}",
    "no tensors": b"\x02" + b"\x00" * 7 + b"{}",
    "pickle": pickle.dumps({"a": 1}),
}


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "training.json", "scores.json"])
@pytest.mark.parametrize("data", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_files_are_refused(tmp_path: Path, name: str, data: bytes) -> None:
    path = rewritten(store.save(tmp_path, example()), name, data)
    with pytest.raises(ModelError, match=name):
        store.load(path, resume=True)


@pytest.mark.parametrize(
    "data", [b"\xff", b"[model]\nmodel_dim = 1000000000000\n", b"x = = 1", b"[model]\nlayers = 1\n"]
)
def test_hostile_recipes_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ModelError, match=r"recipe\.toml is damaged"):
        store.load(rewritten(store.save(tmp_path, example()), "recipe.toml", data))


@pytest.mark.parametrize("seed", range(5))
def test_mutated_safetensors_load_or_are_refused(tmp_path: Path, seed: int) -> None:
    path = store.save(tmp_path, example())
    draw = torch.Generator().manual_seed(seed)
    original = (path / "model.safetensors").read_bytes()
    header = 8 + int.from_bytes(original[:8], "little")
    for _ in range(20):
        data = bytearray(original)
        for _ in range(int(torch.randint(1, 4, (1,), generator=draw))):
            data[int(torch.randint(header, (1,), generator=draw))] = int(torch.randint(256, (1,), generator=draw))
        with suppress(ModelError):
            store.load(rewritten(path, "model.safetensors", bytes(data)))


@pytest.mark.parametrize(
    "aliases", ['{"a": "missing"}', '["a"]', '{"a": ["list"]}', "7", "{", '{"a": {}}', "[" * 100_000]
)
def test_hostile_aliases_are_refused(tmp_path: Path, aliases: str) -> None:
    data = weights_about('"step": 1, "aliases": ' + aliases)
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        store.load(rewritten(store.save(tmp_path, example()), "model.safetensors", data))


@pytest.mark.parametrize("step", ["-1", "1.0", '"1"', "true", "null", "[]"])
def test_hostile_steps_are_refused(tmp_path: Path, step: str) -> None:
    data = weights_about('"aliases": {}, "step": ' + step)
    with pytest.raises(ModelError, match="after how many steps"):
        store.load(rewritten(store.save(tmp_path, example()), "model.safetensors", data))


class Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    file, mark = tmp_path / "model.pt", tmp_path / "payload-was-run"
    file.write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(ModelError, match="is a file, not a model"):
        steps.find(file)
    with pytest.raises(ModelError):
        store.load(file)
    with pytest.raises(ModelError):
        store.load(rewritten(store.save(tmp_path, example()), "model.safetensors", file.read_bytes()))
    assert not mark.exists()


def test_finding_a_checkpoint_does_not_load_torch() -> None:
    code = "import sys, mtcli.checkpoint.steps, mtcli.checkpoint.durable; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
