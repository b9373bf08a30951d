"""Temporary names: who wrote what is not finished, and is it to be removed?"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

PREFIX = ".tmp-"
DAY = 24 * 3600


def sibling(path: Path, kind: str = "") -> Path:
    """A temporary name next to `path` that tells which process on which machine it belongs to."""
    return path.parent / f"{PREFIX}{os.getpid()}-{machine()}-{kind}{path.name}"


def machine() -> str:
    """The host's name in characters that a file name may have, and no `-`."""
    return "".join(char if char.isalnum() or char == "." else "_" for char in socket.gethostname())


def sweep(directory: Path) -> None:
    """Delete the temporaries that killed processes left in `directory`."""
    with suppress(OSError):  # tidiness must not stop a save
        for name in os.listdir(directory):
            if name.startswith(PREFIX) and abandoned(directory / name):
                delete(directory / name)


def abandoned(path: Path) -> bool:
    """Whether the process that made a temporary is this one or dead; one on another machine, after a day."""
    pid, _, rest = path.name.removeprefix(PREFIX).partition("-")
    if not pid.isdecimal():
        return False
    if rest.partition("-")[0] != machine() or os.name == "nt":  # there, signal 0 would end the process
        return time.time() - path.lstat().st_mtime > DAY
    return int(pid) == os.getpid() or not alive(int(pid))


def alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def delete(path: Path) -> None:
    """Delete a file, or a directory with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        for name in os.listdir(path):
            delete(path / name)
        os.rmdir(path)
    elif os.path.lexists(path):
        os.unlink(path)
