"""Arrays in a directory, memory-mapped: written once and as a whole, and not believed when they are damaged."""

from __future__ import annotations

import errno
import json
import mmap
import os
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mtcli.errors import ResourceError

DESCRIPTION = "columns.json"
BLOCK = 1 << 20
MESSAGES = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
REFUSED = (*MESSAGES, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@dataclass(frozen=True)
class Columns:
    """Named arrays, and plain facts about them."""

    arrays: dict[str, npt.NDArray[Any]]
    facts: dict[str, Any]


def read(entry: Path) -> Columns | None:
    """What a finished `writing` left in `entry`; None if it is missing or damaged in any byte."""
    try:
        description = json.loads((entry / DESCRIPTION).read_bytes())
        if zlib.crc32(_canonical(description["body"])) != description["crc32"]:
            return None
        body = description["body"]
        arrays = {name: _map(entry / name, column) for name, column in body["columns"].items()}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Columns(arrays, body["facts"])


@contextmanager
def writing(entry: Path) -> Iterator[Writer]:
    """A writer for `entry`, which appears when the block ends, or not at all if it raises or does not finish.

    When several processes write the same entry at once, each gets its own arrays and the first one's stay. Raises
    `ResourceError` if there is no room or no permission to write.
    """
    temporary = entry.with_name(f"{entry.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with _reported(entry.parent), ExitStack() as cleaning:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        cleaning.callback(shutil.rmtree, temporary, ignore_errors=True)
        _remove(entry)  # whoever writes an entry has found it missing or damaged
        with ExitStack() as files:
            yield Writer(temporary, files)
        try:
            temporary.rename(entry)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        _sync(entry.parent)


class Writer:
    """Appends to arrays of any number, each in a file of its own."""

    def __init__(self, directory: Path, files: ExitStack) -> None:
        self._directory = directory
        self._stack = files
        self._files: dict[str, BinaryIO] = {}
        self._columns: dict[str, dict[str, Any]] = {}

    def append(self, name: str, values: npt.NDArray[Any]) -> None:
        """Append `values`, of the same type each time."""
        data = np.ascontiguousarray(values)
        if name not in self._files:
            self._files[name] = self._stack.enter_context((self._directory / name).open("wb"))
            self._columns[name] = {"type": data.dtype.str, "length": 0, "crc32": 0}
        column = self._columns[name]
        assert column["type"] == data.dtype.str
        self._files[name].write(data.data)
        column["length"] += len(data)
        column["crc32"] = zlib.crc32(data.data, column["crc32"])

    def length(self, name: str) -> int:
        """How many values an array has so far."""
        return int(self._columns[name]["length"]) if name in self._columns else 0

    def finish(self, facts: dict[str, Any]) -> Columns:
        """Describe and sync everything; the arrays returned stay readable whatever becomes of the directory."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        body = {"columns": self._columns, "facts": facts}
        with (self._directory / DESCRIPTION).open("wb") as file:
            file.write(json.dumps({"body": body, "crc32": zlib.crc32(_canonical(body))}).encode())
            file.flush()
            os.fsync(file.fileno())
        _sync(self._directory)
        columns = read(self._directory)
        assert columns is not None, "arrays that were just written cannot be read"
        return columns


def release(array: npt.NDArray[Any]) -> None:
    """Give back the memory of those pages of a mapped array that were looked at; others are left alone."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def _map(path: Path, column: dict[str, Any]) -> npt.NDArray[Any]:
    """The array in a file; `ValueError` if it is not the one described."""
    kind, length = np.dtype(column["type"]), column["length"]
    with path.open("rb") as file:
        # Read and not mapped, because what is looked at in a map counts as this process' memory from then on.
        if _content(file) != (kind.itemsize * length, column["crc32"]):
            raise ValueError("not what was written")
        # A memory map cannot be empty; and a plain view of one is quicker to index than numpy's subclass.
        return np.asarray(np.memmap(file, kind, "r")) if length else np.empty(0, kind)


def _content(file: BinaryIO) -> tuple[int, int]:
    """Size and CRC-32 of a file."""
    size = crc32 = 0
    while chunk := file.read(BLOCK):
        size, crc32 = size + len(chunk), zlib.crc32(chunk, crc32)
    return size, crc32


def _canonical(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True).encode()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    """Make new names durable; a cache loses nothing where a file system cannot."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _reported(directory: Path) -> Iterator[None]:
    """Turn what the disk refuses into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        reason = MESSAGES.get(error.errno, error.strerror)
        raise ResourceError(
            f"encoded text cannot be kept in {directory}: {reason}", "choose another place with MTCLI_CACHE"
        ) from error
