"""Laws of reading lines, plain and compressed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from mtcli.data import lines as lines_module
from mtcli.data.compressed import DamagedError, open_text
from mtcli.data.lines import Line, count_lines, read_lines
from mtcli.errors import DataError

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
formats = pytest.mark.parametrize("suffix", COMPRESS)
# Random digits, so that the archives are longer than what is read of them at a time.
DIGITS = random.Random(1)
TEXT = "".join(f"Zeile {number} “{DIGITS.getrandbits(256):x}”\n" for number in range(4000)).encode()
WHOLE = [Line(number, text) for number, text in enumerate(TEXT.decode().split("\n")[:-1], start=1)]


def read(data: bytes) -> list[Line]:
    return list(read_lines(io.BytesIO(data), "stdin"))


def read_until_error(path: Path) -> tuple[list[Line], DamagedError]:
    found: list[Line] = []
    with pytest.raises(DamagedError) as caught, open_text(path) as stream:
        found.extend(read_lines(stream, str(path)))
    return found, caught.value


def read_file(path: Path) -> list[Line]:
    with open_text(path) as stream:
        return list(read_lines(stream, str(path)))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\ufeff\0"))))
def test_lines_come_back_as_they_were_written(texts):
    written = "".join(f"{text}\n" for text in texts).encode()
    assert [line.text for line in read(written)] == texts
    assert [line.number for line in read(written)] == list(range(1, len(texts) + 1))


@given(st.binary())
@example(b"\n\n")
@example(b"a\r\nb\x85\x0b\x0c\xe2\x80\xa8c")
def test_any_bytes_give_as_many_lines_as_newlines_or_a_data_error(data):
    try:
        found = read(data)
    except DataError:
        return
    assert len(found) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    for line, raw in zip(found, data.split(b"\n"), strict=False):
        if line.invalid_at is None:
            assert raw.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r").decode() in (line.text, "\ufeff" + line.text)
        else:
            raw[: line.invalid_at - 1].decode()
            with pytest.raises(UnicodeDecodeError):
                raw.decode()


def test_unicode_line_ends_are_text():
    data = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\rh\n"
    assert read(data.encode()) == [Line(1, data[:-1])]


def test_a_byte_order_mark_goes_at_the_start_of_the_file_only():
    assert [line.text for line in read(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")] == ["a", "\ufeffb"]
    assert read(b"\xef\xbb\xbfa\xff\n")[0].invalid_at == 5


def test_windows_line_ends_and_a_last_line_without_end():
    assert [line.text for line in read(b"a\r\n\r\nb\r\r\nc")] == ["a", "", "b\r", "c"]


def test_invalid_bytes_are_replaced_and_located():
    assert read(b"ok\nab\xffc\xc3\n") == [Line(1, "ok"), Line(2, "ab\ufffdc\ufffd", 3)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["Hello world\nsecond line\n", "\nHello world\nsecond line\n"])
def test_utf16_is_recognised(encoding, text):
    with pytest.raises(DataError, match="UTF-16") as caught:
        read(text.encode(encoding))
    assert "iconv" in str(caught.value)


@pytest.mark.parametrize("data", [b"\0\0\0\0\0\0\0\0\0\n", b"a\0b\0 text with two NULs\n", b"\0\n"])
def test_nuls_in_text_are_not_utf16(data):
    assert read(data) == [Line(1, data[:-1].decode())]


def test_a_line_is_answered_before_the_next_is_written():
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as pipe:
        lines = read_lines(stream, "stdin")
        for number in range(3):
            pipe.write(b"%d\n" % number)
            assert next(lines).text == str(number)


def test_a_line_of_a_mebibyte_is_read_and_a_longer_one_than_allowed_is_refused(monkeypatch):
    assert len(read(b"x" * (1 << 20) + b"\n")[0].text) == 1 << 20
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 10)
    assert read(b"123456789\n")[0].text == "123456789"
    with pytest.raises(DataError, match="line 2 is longer"):
        read(b"1\n1234567890\n")


@formats
def test_compressed_files_read_like_plain_ones(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(COMPRESS[suffix](TEXT))
    assert read_file(path) == read(TEXT)
    assert count_lines(str(path)) == 4000


@formats
def test_archives_that_were_concatenated_are_read_to_the_end(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(b"".join(COMPRESS[suffix](part) for part in (TEXT, b"", b"middle", TEXT[:70_000], b"end\n")))
    assert read_file(path) == read(TEXT + b"middle" + TEXT[:70_000] + b"end\n")


@formats
def test_an_archive_cut_off_anywhere_is_an_error_with_a_line_number(tmp_path, suffix):
    path, whole = tmp_path / f"text{suffix}", COMPRESS[suffix](TEXT)
    for size in {0, 1, 5, *range(10, len(whole), len(whole) // 8), len(whole) - 4, len(whole) - 1}:
        path.write_bytes(whole[:size])
        found, error = read_until_error(path)
        assert found == WHOLE[: len(found)]
        assert str(error).startswith(f"{path} is damaged after {len(found):,} lines: it ends in the middle")
        with pytest.raises(DamagedError, match="after"):
            count_lines(str(path))


@formats
@pytest.mark.parametrize("garbage", [b"garbage after the end", b"\x01", b"\n"])
def test_garbage_after_an_archive_is_an_error(tmp_path, suffix, garbage):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(COMPRESS[suffix](TEXT) + garbage)
    with pytest.raises(DamagedError, match=r"after 4,000 lines"):
        read_file(path)


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_zero_bytes_may_pad_an_archive(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(COMPRESS[suffix](TEXT) + bytes(200_000))
    assert len(read_file(path)) == 4000


@formats
@pytest.mark.parametrize("content", [b"plain text\n", b"\x1f\x8b garbage", b"BZh9garbage", bytes(100)])
def test_a_file_that_is_no_archive_is_an_error(tmp_path, suffix, content):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(content)
    with pytest.raises(DamagedError):
        read_file(path)


@formats
def test_a_flipped_bit_is_never_silent(tmp_path, suffix):
    compress = zstandard.ZstdCompressor(write_checksum=True).compress if suffix == ".zst" else COMPRESS[suffix]
    path, whole = tmp_path / f"text{suffix}", compress(TEXT)
    for place in range(20, len(whole), len(whole) // 10):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(DataError):
            read_file(path)


@formats
def test_a_bomb_is_refused_in_bounded_memory(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 1 << 20)
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(COMPRESS[suffix](bytes(1 << 27)))
    tracemalloc.start()
    with pytest.raises(DataError, match="longer than 1 MiB"):
        read_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 26


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
def test_what_cannot_be_opened_is_named(tmp_path, suffix):
    with pytest.raises(DataError, match=r"there is no file .*absent"):
        open_text(tmp_path / f"absent{suffix}")
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    with pytest.raises(DataError, match="is a directory"):
        open_text(folder)
    with pytest.raises(DataError, match="no file name"):
        open_text("a\0b" + suffix)


def test_a_stream_that_fails_says_how_far_it_came():
    class Failing(io.BytesIO):
        def readline(self, size=-1):
            line = super().readline(size)
            if not line:
                raise OSError(5, "Input/output error")
            return line

    with pytest.raises(DataError, match=r"after 2 lines.*Input/output error"):
        list(read_lines(Failing(b"a\nb\n"), "stdin"))
