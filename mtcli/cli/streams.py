"""Streams that cannot be written any more."""

from __future__ import annotations

import os
from typing import TextIO


def silence(stream: TextIO) -> None:
    """Let a stream go nowhere from now on: Python flushes it once more at exit, and would complain again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
