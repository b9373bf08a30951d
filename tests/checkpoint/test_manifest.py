"""Every change of a checkpoint's files is noticed, and named; a manifest may hold any junk."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.checkpoint import durable, manifest, store
from mtcli.errors import ModelError
from tests.checkpoint.examples import example, files

FILES = [
    "recipe.toml",
    "tokenizer.model",
    "model.safetensors",
    "training.safetensors",
    "training.json",
    "scores.json",
    "manifest.json",
]
EACH_FILE = pytest.mark.parametrize("name", FILES)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, to be copied."""
    return store.save(tmp_path_factory.mktemp("run"), example())


@pytest.fixture
def path(saved: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(saved, tmp_path / "step-100"))


def test_a_whole_directory_verifies(path: Path) -> None:
    assert [file.name for file in files(path)] == sorted(FILES)
    manifest.verify(path)


@EACH_FILE
def test_a_flipped_bit_anywhere_is_noticed(path: Path, name: str) -> None:
    original = (path / name).read_bytes()
    for place in range(0, len(original), 1 if name == "manifest.json" else 7):
        data = bytearray(original)
        data[place] ^= 1 << place % 8
        (path / name).write_bytes(data)
        with pytest.raises(ModelError) as caught:
            manifest.verify(path)
        assert name == "manifest.json" or f"the content of {name} has changed" in caught.value.message
    with pytest.raises(ModelError):
        store.load(path)


@EACH_FILE
def test_a_missing_file_is_named(path: Path, name: str) -> None:
    (path / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        manifest.verify(path)


@EACH_FILE
@pytest.mark.parametrize("kept", [0.0, 0.5, -1])
def test_a_truncated_file_is_named(path: Path, name: str, kept: float) -> None:
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[: int(len(data) * kept) if kept >= 0 else -1])
    with pytest.raises(ModelError, match=rf"{name} is (truncated|not JSON|malformed)"):
        manifest.verify(path)


@EACH_FILE
def test_extra_bytes_are_named(path: Path, name: str) -> None:
    with (path / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ModelError, match=rf"{name} is (too long|malformed)"):
        manifest.verify(path)


def test_an_extra_file_is_named(path: Path) -> None:
    (path / "model.pt").write_bytes(b"pickle")
    with pytest.raises(ModelError, match=r"model\.pt is not in its manifest"):
        manifest.verify(path)


def test_hidden_files_of_the_desktop_are_nobodys_business(path: Path) -> None:
    (path / ".DS_Store").write_bytes(b"")
    manifest.verify(path)


@EACH_FILE
def test_a_file_swapped_between_steps_is_noticed(path: Path, name: str, tmp_path: Path) -> None:
    other = store.save(tmp_path, example(200))
    shutil.copy(other / name, path / name)
    with pytest.raises(ModelError):
        manifest.verify(path)


@pytest.mark.parametrize("kind", ["directory", "pipe", "dangling link"])
def test_what_is_no_file_is_refused_without_waiting(path: Path, kind: str) -> None:
    (path / "scores.json").unlink()
    if kind == "directory":
        (path / "scores.json").mkdir()
    elif kind == "pipe":
        os.mkfifo(path / "scores.json")
    else:
        (path / "scores.json").symlink_to("nowhere")
    with pytest.raises(ModelError, match=r"scores\.json is not a file|cannot be read"):
        manifest.verify(path)


def test_a_newer_format_is_said_before_anything_else(path: Path) -> None:
    (path / "manifest.json").write_text('{"format": 2, "everything": "else is different"}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"was written by a newer mtcli \(format 2\); upgrade"):
        manifest.verify(path)


def test_a_manifest_cannot_name_files_elsewhere(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    values = json.loads((path / "manifest.json").read_bytes())
    values["files"]["../secret"] = {"bytes": 0, "sha256": manifest.digest(tmp_path / "secret")}
    (path / "manifest.json").write_bytes(manifest.encoded(values))
    with pytest.raises(ModelError, match=r"\.\./secret is missing"):
        manifest.verify(path)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
json_values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=5), scalars, max_size=2)


@settings(max_examples=60, deadline=None)
@given(junk=json_values, choice=st.data())
def test_a_manifest_with_junk_in_any_place_is_refused(saved: Path, junk: Any, choice: st.DataObject) -> None:
    values = json.loads((saved / "manifest.json").read_bytes())
    places: list[tuple[Any, Any]] = [([values], 0), *nested(values)]
    holder, key = choice.draw(st.sampled_from(places))
    assert refused_or_unchanged(saved, json.dumps(replaced(values, holder, key, junk)).encode())


def nested(values: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Every (holder, key) in nested dictionaries."""
    inner = [place for value in values.values() if isinstance(value, dict) for place in nested(value)]
    return [(values, key) for key in values] + inner


def replaced(values: Any, holder: Any, key: Any, junk: Any) -> Any:
    """`values` with `junk` in one place."""
    holder[key] = junk
    return holder[0] if isinstance(holder, list) else values


@given(place=st.integers(0, 10_000), data=st.binary(max_size=4), cut=st.integers(0, 4))
def test_a_manifest_with_changed_bytes_is_refused(saved: Path, place: int, data: bytes, cut: int) -> None:
    original = (saved / "manifest.json").read_bytes()
    place %= len(original)
    assert refused_or_unchanged(saved, original[:place] + data + original[place + cut :])


@given(st.binary(max_size=50))
def test_a_manifest_of_noise_is_refused(saved: Path, data: bytes) -> None:
    assert refused_or_unchanged(saved, data)


def refused_or_unchanged(saved: Path, data: bytes) -> bool:
    """Whether a manifest of other bytes is refused with `ModelError`."""
    original = (saved / "manifest.json").read_bytes()
    try:
        (saved / "manifest.json").write_bytes(data)
        manifest.verify(saved)
    except ModelError:
        return True
    finally:
        (saved / "manifest.json").write_bytes(original)
    return data == original


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"format": ' + b"9" * 5000 + b"}", b'{"format": true, "files": {}}']
)
def test_a_hostile_manifest_is_refused(saved: Path, data: bytes) -> None:
    assert refused_or_unchanged(saved, data)


def test_publish_describes_what_others_wrote(tmp_path: Path) -> None:
    def fill(temporary: Path) -> None:
        (temporary / "one").write_text("1", encoding="utf-8")

    durable.publish(tmp_path / "made", fill)
    manifest.verify(tmp_path / "made")
    assert sorted(os.listdir(tmp_path)) == ["made"]
