"""Lines in chunks of whatever has arrived: large ones from a file, the first line at once from a slow pipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic

PATIENCE = 0.02
"""Seconds that the first line of a chunk waits for others: too short to notice, enough to read a thousand lines."""


class End:
    """What the reader puts after the last line, with the exception that ended it, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def chunks(lines: Iterable[str], most: int, patience: float = PATIENCE) -> Iterator[list[str]]:
    """Everything that has arrived, at least one line and at most `most`; again and again until `lines` end.

    A thread reads `lines`, at most `most` lines ahead, so that endless input takes constant memory. What `lines`
    raises is raised here after the lines before it.

    To read standard input, open descriptor 0 anew (`open(0, ..., closefd=False)`): Python aborts at exit if a thread
    is still waiting inside `sys.stdin`.
    """
    queue: Queue[str | End] = Queue(most)
    abandoned = Event()
    Thread(target=read, args=(lines, queue, abandoned), daemon=True).start()
    try:
        end = None
        while end is None:
            chunk, end = gather(queue, most, patience)
            if chunk:
                yield chunk
        if end.error is not None:
            raise end.error
    finally:
        abandoned.set()
        clear(queue)


def read(lines: Iterable[str], queue: Queue[str | End], abandoned: Event) -> None:
    """Put all lines and an `End` into the queue."""
    try:
        for line in lines:
            queue.put(line)
            if abandoned.is_set():
                return
    except BaseException as error:
        queue.put(End(error))
    else:
        queue.put(End())


def gather(queue: Queue[str | End], most: int, patience: float) -> tuple[list[str], End | None]:
    """Wait for one line, then take what else arrives within `patience` seconds, and the `End` if it comes."""
    chunk: list[str] = []
    deadline = None
    while len(chunk) < most:
        try:
            item = queue.get(timeout=None if deadline is None else max(0.0, deadline - monotonic()))
        except Empty:
            break
        if isinstance(item, End):
            return chunk, item
        deadline = deadline or monotonic() + patience
        chunk.append(item)
    return chunk, None


def clear(queue: Queue[str | End]) -> None:
    """Empty the queue, so that a reader that waits for room in it wakes up and sees that nobody listens."""
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
