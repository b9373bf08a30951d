"""A disk that fails at a chosen operation, and that knows what a power loss would leave of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Set
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from mtcli.checkpoint import durable, temporary

FALLIBLE = {"open", "write", "fsync", "close", "mkdir", "rename", "replace", "unlink", "rmdir", "listdir"}
HARMLESS = {"getpid", "kill"}


class Death(BaseException):
    """The process is dead: from now on every operation raises this, so nothing cleans up."""


class Disk:
    """Stands in for `os` in `durable` and `temporary`: counts file operations, and raises `failure` at one of them.

    That is number `at`; later ones raise it too if `lasting` has their names. What is durable at any time is what has
    been synced: a file's content by fsync of the file, a directory's names by fsync of the directory.
    """

    def __init__(
        self, root: Path, at: int = -1, failure: BaseException | None = None, lasting: Set[str] = frozenset()
    ) -> None:
        self.root, self.at, self.failure, self.lasting = root, at, failure, lasting
        self.calls: list[str] = []
        self.opened: dict[int, Path] = {}
        self.held: dict[int, int] = {}
        self.contents: dict[int, bytes] = {}
        self.names: dict[int, dict[str, int]] = {}
        self.notice_all(root)

    def __getattr__(self, name: str) -> Any:
        thing = getattr(os, name)
        if not callable(thing) or name in HARMLESS:
            return thing
        assert name in FALLIBLE, f"a save calls os.{name}, which this disk does not know"

        def operation(*arguments: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            if number == self.at or (number > self.at >= 0 and name in self.lasting):
                self.fail(name, *arguments)
            return getattr(self, f"after_{name}", lambda result, *_: result)(thing(*arguments), *arguments)

        return operation

    def fail(self, name: str, *arguments: Any) -> None:
        """Raise the failure; a write has then happened by half, and a file is closed all the same."""
        assert self.failure is not None
        if name == "write" and len(self.calls) - 1 == self.at:
            os.write(arguments[0], arguments[1][: len(arguments[1]) // 2])
        if name == "close":
            os.close(arguments[0])
        raise self.failure

    def after_open(self, file: int, path: Path, *_: Any) -> int:
        self.opened[file] = Path(path)
        self.notice(Path(path))
        return file

    def after_mkdir(self, result: None, path: Path) -> None:
        self.notice(Path(path))

    def after_fsync(self, result: None, file: int) -> None:
        status, path = os.fstat(file), self.opened[file]
        if stat.S_ISDIR(status.st_mode):
            self.names[status.st_ino] = {name: (path / name).lstat().st_ino for name in os.listdir(path)}
        else:
            self.contents[status.st_ino] = path.read_bytes()

    def notice(self, path: Path) -> None:
        """Hold an inode open from its first sight, so that its number is not given to another file."""
        inode = path.stat().st_ino
        if inode not in self.held:
            self.held[inode] = os.open(path, os.O_RDONLY)
            if path.is_dir():
                self.names[inode] = {}
            else:
                self.contents[inode] = b""

    def notice_all(self, path: Path) -> None:
        """Take what is there at the beginning for durable."""
        self.notice(path)
        inode = path.stat().st_ino
        if path.is_dir():
            for child in path.iterdir():
                self.notice_all(child)
            self.names[inode] = {child.name: child.stat().st_ino for child in path.iterdir()}
        else:
            self.contents[inode] = path.read_bytes()

    def after_power_loss(self, target: Path) -> None:
        """Make at `target` what is left when only what was synced survives."""
        self.restore(self.root.stat().st_ino, target)

    def restore(self, inode: int, target: Path) -> None:
        if inode in self.names:
            target.mkdir()
            for name, child in self.names[inode].items():
                self.restore(child, target / name)
        else:
            target.write_bytes(self.contents[inode])

    def after_data_loss(self, target: Path, kept: float) -> None:
        """Make at `target` what is left when all names survive, but of files not synced only a share `kept`."""
        target.mkdir()
        for path in sorted(self.root.rglob("*")):
            copy = target / path.relative_to(self.root)
            if path.is_dir():
                copy.mkdir()
                continue
            data = path.read_bytes()
            synced = self.contents.get(path.stat().st_ino) == data
            copy.write_bytes(data if synced else data[: int(len(data) * kept)])

    def __enter__(self) -> Disk:
        self.patch = pytest.MonkeyPatch()
        for module in (durable, temporary):
            self.patch.setattr(module, "os", self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None
    ) -> None:
        self.patch.undo()
        for handle in self.held.values():
            os.close(handle)
