"""Ctrl-C and SIGTERM as a wish to stop, noticed between two steps."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether somebody asked to stop, and by which signal."""

    def __init__(self, heard: Callable[[], None] = lambda: None) -> None:
        self.signal: signal.Signals | None = None
        self.heard = heard

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells count: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.signal or 0)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember the first signal; a second Ctrl-C stops at once."""
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is None:
            self.signal = signal.Signals(number)
            self.heard()


@contextmanager
def listening(heard: Callable[[], None] = lambda: None) -> Iterator[Interrupt]:
    """Inside, SIGINT, SIGTERM and SIGHUP no longer kill; they are noted.

    Those that are ignored stay so: nohup, or a shell that started us in the background, wanted that.
    `heard` is called at the first one, inside the signal handler, so it must not take a lock.
    """
    interrupt = Interrupt(heard)
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    heeded = [name for name in names if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN]
    before = {name: signal.signal(getattr(signal, name), interrupt.note) for name in heeded}
    try:
        yield interrupt
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
