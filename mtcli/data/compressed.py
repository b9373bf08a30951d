"""Files of text as streams of bytes, decompressed by suffix; damage is always reported, memory is always bounded.

The standard library's `bz2.open` and `lzma.open` ignore garbage after an archive, and zstandard's reader ignores a
missing end. Here every stream of an archive has to end where the file ends.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from mtcli.errors import DataError

CHUNK = 1 << 16
LZMA_MEMORY = 1 << 29
"""Enough for `xz -9` (65 MiB); a header can ask for 4 GiB."""


class DamagedError(DataError):
    """A file broke off or turned to garbage while it was read; `reason` goes on after "it "."""

    def __init__(self, name: str, reason: str, lines: int | None = None) -> None:
        after = "" if lines is None else f" after {lines:,} lines"
        super().__init__(f"{name} is damaged{after}: it {reason}", "copy, download or compress it again")
        self.name, self.reason = name, reason


def open_text(path: str | Path) -> BinaryIO:
    """Open a plain, .gz, .bz2, .xz or .zst file for reading bytes; usable as a context manager.

    Raises `DataError` if it cannot be opened, and `DamagedError` while it is read if it is cut off, corrupt or followed
    by something else.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - the caller closes it
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory, not a file of text") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise DataError(f"{str(path)!r} is no file name: {error}") from error
    archive = FORMATS.get(Path(path).suffix)
    if archive is None:
        return file
    return cast(BinaryIO, io.BufferedReader(Decompressing(file, archive, str(path)), CHUNK))


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


class Decompressing(io.RawIOBase):
    """The text in a compressed file, one stream after the other."""

    def __init__(self, file: BinaryIO, archive: Format, name: str) -> None:
        self._file, self._archive, self._name = file, archive, name
        self._stream: Decompressor | None = archive.decompressor()
        self._input = b""
        self._ready = memoryview(b"")
        self._streams = 1

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Close the compressed file too."""
        self._file.close()
        super().close()

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fill `buffer` with the next text; 0 at the end. Raises `DamagedError`."""
        while not self._ready and self._stream is not None:
            self._ready = memoryview(self._advance(self._stream, len(buffer)))
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _advance(self, stream: Decompressor, size: int) -> bytes:
        """Output of one call to the decompressor, after which the next stream may begin."""
        asked = stream.needs_input and not self._input
        data = self._file.read(CHUNK) if asked else self._input
        self._input = b""
        try:
            output = stream.decompress(data, size)
        except _errors() as error:
            reason = (
                "is corrupt" if self._streams == 1 else "goes on with something else after the end of the archive"
            )
            raise DamagedError(self._name, f"{reason} ({error})") from error
        if stream.eof:
            self._next_stream(stream.unused_data)
        elif asked and not data and not output:
            raise DamagedError(self._name, "ends in the middle of the archive")
        return output

    def _next_stream(self, rest: bytes) -> None:
        """Begin the stream that follows, if anything does."""
        while True:
            rest = rest.lstrip(b"\0") if self._archive.padded else rest
            if rest:
                self._stream, self._input = self._archive.decompressor(), rest
                self._streams += 1
                return
            rest = self._file.read(CHUNK)
            if not rest:
                self._stream = None
                return


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


def _errors() -> tuple[type[Exception], ...]:
    """What the decompressors raise on bad input."""
    import zstandard

    return (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, zstandard.ZstdError)
