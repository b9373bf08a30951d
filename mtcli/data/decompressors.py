"""How one stream of each compressed format is undone, all with the interface of `bz2.BZ2Decompressor`."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

LZMA_MEMORY = 1 << 29
"""Enough for `xz -9` (65 MiB); a header can ask for 4 GiB."""


class Decompressor(Protocol):
    """What `bz2.BZ2Decompressor` offers."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without new input."""

    @property
    def unused_data(self) -> bytes:
        """Input after the end of the stream."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """The next output."""


@dataclass(frozen=True)
class Format:
    """A way to compress: how to undo one stream, and whether zero bytes may follow the last one."""

    decompressor: Callable[[], Decompressor]
    padded: bool = False


class Inflate:
    """zlib's decompressor of one gzip member, with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        """Whether checksum and length were read and agree."""
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        """Whether all input was taken."""
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """Input after the member."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most `max_length` bytes of output."""
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class Zstandard:
    """zstandard's decompressor of one frame, with the interface of the others.

    It knows no `max_length`. A block of 4 bytes can stand for 128 KiB, so 1 KiB is fed at a time: 32 MiB at most.
    """

    def __init__(self) -> None:
        import zstandard

        self._inner = zstandard.ZstdDecompressor().decompressobj()
        self._waiting = b""

    @property
    def eof(self) -> bool:
        """Whether the frame has ended."""
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        """Whether all input was taken."""
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        """Input after the frame."""
        return self._inner.unused_data + self._waiting

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """The output of the next KiB of input, which may be longer than `max_length`."""
        waiting = self._waiting + data
        self._waiting = waiting[1024:]
        return self._inner.decompress(waiting[:1024])


FORMATS = {
    ".gz": Format(Inflate, padded=True),
    ".bz2": Format(bz2.BZ2Decompressor),
    ".xz": Format(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY), padded=True),
    ".zst": Format(Zstandard),
}
"""How files with these suffixes are read."""


def errors() -> tuple[type[Exception], ...]:
    """What the decompressors raise on bad input."""
    import zstandard

    return (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, zstandard.ZstdError)
