"""The manifest of a directory: its format, and the size and SHA-256 of every file; written last, checked first."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

from mtcli.errors import ModelError

FORMAT = 1
NAME = "manifest.json"


def describe(directory: Path) -> bytes:
    """The manifest of the files in `directory`, to be written to it under `NAME`; hidden files are left out."""
    files = {
        name: {"bytes": (directory / name).stat().st_size, "sha256": digest(directory / name)}
        for name in sorted(names(directory))
    }
    return encoded({"format": FORMAT, "files": files})


def verify(directory: Path, contents: bool = True) -> None:
    """Check that `directory` holds exactly what its manifest says; without `contents`, names and sizes only.

    Raises `ModelError` naming the first file that is missing, truncated, longer, changed, or not in the manifest, or
    saying that a newer mtcli wrote the directory.
    """
    try:
        check(directory, contents)
    except OSError as error:
        raise ModelError(f"{directory} cannot be read: {(error.strerror or str(error)).lower()}") from error


def check(directory: Path, contents: bool) -> None:
    """Do the work of `verify`, and let an `OSError` pass."""
    files = read(directory)
    present = names(directory)
    for name in sorted(files.keys() - present):
        raise damaged(directory, f"{name} is missing")
    for name in sorted(present - files.keys()):
        raise damaged(directory, f"{name} is not in its manifest")
    for name, entry in files.items():
        status = (directory / name).stat()
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
            raise damaged(directory, f"{name} is not a file")
        if status.st_size != entry["bytes"]:
            change = "truncated" if status.st_size < entry["bytes"] else "too long"
            raise damaged(directory, f"{name} is {change}: {status.st_size:,} bytes instead of {entry['bytes']:,}")
    for name, entry in files.items():
        if contents and digest(directory / name) != entry["sha256"]:
            raise damaged(directory, f"the content of {name} has changed: its SHA-256 is not the one recorded")


def read(directory: Path) -> dict[str, dict[str, Any]]:
    """The entries of a manifest by file name: `bytes` and `sha256`."""
    try:
        data = (directory / NAME).read_bytes()
        values = json.loads(data)
    except FileNotFoundError:
        raise ModelError(f"{directory} is not a complete checkpoint: {NAME} is missing") from None
    except (ValueError, RecursionError):
        raise damaged(directory, f"{NAME} is not JSON") from None
    if not isinstance(values, dict) or type(values.get("format")) is not int:
        raise damaged(directory, f"{NAME} has no format number")
    if values["format"] > FORMAT:
        number = values["format"]
        raise ModelError(
            f"{directory} was written by a newer mtcli (format {number}); upgrade",
            f"this mtcli reads formats up to {FORMAT}",
        )
    files = values.get("files")
    # Comparing with what we would have written finds flips that JSON does not care about, in white space or keys.
    if values["format"] < 1 or not well_formed(files) or encoded({"format": FORMAT, "files": files}) != data:
        raise damaged(directory, f"{NAME} is malformed")
    assert isinstance(files, dict)
    return files


def well_formed(files: object) -> bool:
    """Whether a manifest's table of files has the types it must have."""
    return isinstance(files, dict) and all(
        isinstance(entry, dict) and type(entry.get("bytes")) is int and type(entry.get("sha256")) is str
        for entry in files.values()
    )


def names(directory: Path) -> set[str]:
    """The files of a directory but for the manifest and hidden ones.

    Desktops and network file systems strew hidden files (`.DS_Store`, `.nfs...`); nothing here reads them.
    """
    return {path.name for path in directory.iterdir() if path.name != NAME and not path.name.startswith(".")}


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encoded(values: dict[str, Any]) -> bytes:
    """The one way a manifest is written."""
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()


def damaged(directory: Path, reason: str) -> ModelError:
    """The error for a directory that is not what its manifest says."""
    return ModelError(f"{directory} is damaged: {reason}", "an older checkpoint, or a copy of this one, may be whole")
