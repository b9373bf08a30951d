"""Chunks of whatever has arrived."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from queue import Queue

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.decoding.arrivals import chunks


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(max_size=3), max_size=50), st.integers(1, 9))
def test_all_lines_arrive_in_order(lines, most):
    found = list(chunks(iter(lines), most))
    assert [line for chunk in found for line in chunk] == lines
    assert all(1 <= len(chunk) <= most for chunk in found)


def test_the_first_line_comes_before_the_second_is_there():
    pipe: Queue[str | None] = Queue()
    found = chunks(iter(pipe.get, None), 100)
    for line in ("one", "two"):
        pipe.put(line)
        assert next(found) == [line]
    pipe.put(None)
    assert list(found) == []


def test_lines_that_are_there_come_together():
    assert list(chunks(["a"] * 1000, 1000, patience=5)) == [["a"] * 1000]


def test_endless_input_is_read_only_a_little_ahead():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield "y"

    found = chunks(endless(), 50)
    for _ in range(3):
        assert len(next(found)) <= 50
    time.sleep(0.05)
    assert taken <= 4 * 50 + 2
    before = threading.active_count()
    found.close()
    deadline = time.monotonic() + 5
    while threading.active_count() >= before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() < before


def test_a_failure_of_the_reader_comes_after_the_lines_before_it():
    def broken():
        yield "one"
        raise OSError("disk")

    found = chunks(broken(), 10)
    assert next(found) == ["one"]
    with pytest.raises(OSError, match="disk"):
        next(found)


PROGRAM = """
from mtcli.decoding.arrivals import chunks
print(next(chunks(open(0, encoding="utf-8", newline="\\n", closefd=False), 10)))
"""


def test_a_program_can_end_while_standard_input_stays_open():
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("one\n")
        process.stdin.flush()
        assert process.stdout.read() == "['one\\n']\n"
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
