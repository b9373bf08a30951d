"""One run per directory: a lock that the operating system releases when its process dies, however it dies."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from mtcli.checkpoint import durable
from mtcli.errors import BusyError

ABOUT = "lock.json"


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Make the directory `run` if need be, and keep other runs out of it until the block ends.

    Who holds it stands in `run/lock.json`. Raises `BusyError`, which says so, if another process (or this one) holds
    it already, and `ResourceError` if the directory cannot be written.
    """
    # The lock is on a file beside lock.json, which is replaced and removed: a lock is on a file, not on its name.
    lock = FileLock(run / ".lock", timeout=0)
    with durable.reported(run, 0):
        durable.make_directory(run)
        try:
            lock.acquire()
        except Timeout:
            raise busy(run) from None
    try:
        durable.write_file(run / ABOUT, about())
        yield
    finally:
        with suppress(OSError):
            (run / ABOUT).unlink(missing_ok=True)
        lock.release()


def about() -> bytes:
    """What `lock.json` says about this process."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return (json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": started}) + "\n").encode()


def busy(run: Path) -> BusyError:
    """The error that names who holds `run`, as far as that can be read."""
    try:
        values = json.loads((run / ABOUT).read_bytes())
        holder = f"process {values['pid']} on {values['host']}, since {values['started']}"
    except (OSError, ValueError, RecursionError, TypeError, LookupError):
        holder = "a process that has not said yet which"  # it writes that just after it gets the lock
    return BusyError(f"{run} is in use by {holder}", "wait for it to end, stop it, or choose another -o")
