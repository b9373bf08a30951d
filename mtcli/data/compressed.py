"""Files of text as streams of bytes, decompressed by suffix; damage is always reported, memory is always bounded.

The standard library's `bz2.open` and `lzma.open` ignore garbage after an archive, and zstandard's reader ignores a
missing end. Here every stream of an archive has to end where the file ends.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from mtcli.data.decompressors import FORMATS, Decompressor, Format, errors
from mtcli.errors import DataError

CHUNK = 1 << 16


class DamagedError(DataError):
    """A file broke off or turned to garbage while it was read; `reason` goes on after "it "."""

    def __init__(self, name: str, reason: str, lines: int | None = None) -> None:
        after = "" if lines is None else f" after {lines:,} lines"
        super().__init__(f"{name} is damaged{after}: it {reason}", "copy, download or compress it again")
        self.name, self.reason = name, reason


def open_text(path: str | Path) -> io.BufferedReader:
    """Open a plain, .gz, .bz2, .xz or .zst file for reading bytes; usable as a context manager.

    Raises `DataError` if it cannot be opened, and `DamagedError` while it is read if it is cut off, corrupt or
    followed by something else.
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
    return io.BufferedReader(Decompressing(file, archive, str(path)), CHUNK)


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
        except errors() as error:
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
