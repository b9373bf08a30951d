"""Signals become a wish to stop: the first is heeded between two steps, an ignored one stays ignored."""

from __future__ import annotations

import os
import signal

import pytest

from mtcli.training.interrupt import Interrupt, listening

HEEDED = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", HEEDED)
def test_a_signal_is_noted_and_its_handler_comes_back(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
    try:
        own = signal.getsignal(number)
        with listening() as interrupt:
            assert not interrupt
            os.kill(os.getpid(), number)
            assert interrupt
            assert interrupt.exit_code == 128 + number
        assert signal.getsignal(number) == own
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", HEEDED)
def test_a_signal_that_was_ignored_stays_so(number: signal.Signals) -> None:
    """`nohup mtcli train ... &` goes on when its terminal is closed."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with listening() as interrupt:
            os.kill(os.getpid(), number)
            assert not interrupt
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_second_ctrl_c_stops_at_once() -> None:
    interrupt = Interrupt()
    interrupt.note(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        interrupt.note(signal.SIGINT, None)


def test_the_first_signal_decides_the_exit_code() -> None:
    interrupt = Interrupt()
    interrupt.note(signal.SIGINT, None)
    interrupt.note(signal.SIGTERM, None)
    assert interrupt.exit_code == 130
