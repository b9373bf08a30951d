"""Write files and directories that a crash leaves either whole or not there at all.

Everything is written to a temporary sibling, synced, and renamed into place; then the directory that holds the name
is synced. Each operation on the disk is a call `os.<name>(...)` here or in `temporary.py`, so that a test can fail
every one.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mtcli.checkpoint import manifest
from mtcli.checkpoint.temporary import delete, sibling, sweep
from mtcli.errors import ResourceError

FULL = (errno.ENOSPC, errno.EDQUOT)
# Some network file systems cannot sync a directory, and say so with one of these.
UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP)


def write_file(path: Path, data: bytes) -> None:
    """Replace the file `path` by one that holds `data`, atomically, its mode set by the umask.

    Raises `ResourceError` if that cannot be done; then the old file is as it was.
    """
    with reported(path, len(data)):
        make_directory(path.parent)
        sweep(path.parent)
        temporary = sibling(path)
        with deleted_on_failure(temporary):
            twice(lambda: create(temporary, data))
            twice(lambda: os.replace(temporary, path))
        twice(lambda: sync_directory(path.parent))


def publish(directory: Path, fill: Callable[[Path], None], size: int = 0) -> None:
    """Make `directory` with what `fill` writes into the empty directory it is given, and a manifest of it.

    Only a damaged `directory` may stand there before: it is removed shortly before the new one takes its name.
    `size` is the number of bytes expected, for the message when the disk is full. Raises `ResourceError` if the
    directory cannot be written, and removes whatever `fill` wrote.
    """
    with reported(directory, size):
        make_directory(directory.parent)
        sweep(directory.parent)
        temporary = sibling(directory)
        with deleted_on_failure(temporary):
            twice(lambda: build(temporary, fill))
            if os.path.lexists(directory):
                remove(directory)
            twice(lambda: os.rename(temporary, directory))
        twice(lambda: sync_directory(directory.parent))


def build(temporary: Path, fill: Callable[[Path], None]) -> None:
    """Fill a new directory, sync it, and add its manifest last."""
    delete(temporary)
    os.mkdir(temporary)
    fill(temporary)
    sync_files(temporary)
    create(temporary / manifest.NAME, manifest.describe(temporary))
    sync_directory(temporary)


def remove(directory: Path) -> None:
    """Remove a directory or file so that a crash leaves all of it under its name, or nothing under its name."""
    with reported(directory, 0):
        doomed = sibling(directory, "old-")
        twice(lambda: os.rename(directory, doomed))
        twice(lambda: sync_directory(directory.parent))
        with suppress(OSError):  # `sweep` removes what is left
            delete(doomed)


def create(path: Path, data: bytes) -> None:
    """Write a file and sync it, without a temporary name: for use inside `publish`."""
    # 0o666 less the umask, as every other file gets it; the `tempfile` module and safetensors use 0o600.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def twice(operation: Callable[[], None]) -> None:
    """Do `operation`, which may be a whole file or directory, and all of it again after an input/output error.

    Not only its last call: after a failed fsync the kernel may call the lost pages clean (Rebello et al. 2020, "Can
    Applications Recover from fsync Failures?"), so that a second fsync proves nothing.
    """
    try:
        operation()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        operation()


@contextmanager
def deleted_on_failure(temporary: Path) -> Iterator[None]:
    """Delete `temporary` when anything goes wrong, an impatient Ctrl-C included."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            delete(temporary)
        raise


def make_directory(path: Path) -> None:
    """Make a directory and its parents, each name synced."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with suppress(FileExistsError):  # another process was quicker; a file in its place fails at the next operation
        twice(lambda: os.mkdir(path))
    twice(lambda: sync_directory(path.parent))


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power loss."""
    if os.name == "nt":
        return  # directories cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(handle)


def sync_files(directory: Path) -> None:
    """Sync every file under `directory`, and the directories below it."""
    for name in sorted(os.listdir(directory)):
        path = directory / name
        if path.is_dir():
            sync_files(path)
            sync_directory(path)
            continue
        file = os.open(path, os.O_RDWR)
        try:
            os.fsync(file)
        finally:
            os.close(file)


@contextmanager
def reported(path: Path, size: int) -> Iterator[None]:
    """Turn an `OSError` into a `ResourceError` that names `path` and, on a full disk, `size` and the free space."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno not in FULL:
            raise ResourceError(f"cannot write {path}: {reason.lower()}") from error
        free = shutil.disk_usage(existing(path)).free
        limit = f"{megabytes(free)} are free" if error.errno == errno.ENOSPC else "the quota is used up"
        raise ResourceError(
            f"the disk is full: {path} needs {megabytes(size)}, {limit}",
            "nothing was changed; free some space, or lower --keep, and run the same command again",
        ) from error


def existing(path: Path) -> Path:
    """The nearest directory above `path` that exists."""
    return next(parent for parent in path.absolute().parents if parent.is_dir())


def megabytes(size: int) -> str:
    """A number of bytes for a person to read."""
    return f"{size / 1e6:,.1f} MB"
