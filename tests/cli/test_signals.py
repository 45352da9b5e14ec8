from __future__ import annotations

import signal
import sys
import time
import weakref

import pytest
from plain_signals import heed_signals

from prcli.cli.signals import orderly_exits

NUMBERS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (*NUMBERS, signal.SIGINT)}
    heed_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Referent:
    """Something that a weak reference can point to."""


def drop(raising) -> None:
    """Call where Python prints what is raised, and goes on."""
    referent = Referent()
    reference = weakref.ref(referent, lambda _: raising())
    del referent
    assert reference() is None


def wait_after(raising) -> None:
    drop(raising)
    time.sleep(20)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_leaves_by_an_exit(number):
    with pytest.raises(SystemExit) as leaving, orderly_exits():
        signal.raise_signal(number)
    assert leaving.value.code == 128 + number


@pytest.mark.parametrize("number", NUMBERS)
def test_an_exit_that_a_callback_drops_is_asked_for_again(number):
    with pytest.raises(SystemExit) as leaving, orderly_exits():
        wait_after(lambda: signal.raise_signal(number))
    assert leaving.value.code == 128 + number


def test_an_interrupt_that_a_callback_drops_is_asked_for_again():
    with pytest.raises(KeyboardInterrupt), orderly_exits():
        wait_after(lambda: signal.raise_signal(signal.SIGINT))


def test_other_errors_are_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with orderly_exits():
        drop(lambda: 1 / 0)
    assert isinstance(told[0].exc_value, ZeroDivisionError)


def test_what_is_ignored_goes_on_being_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with orderly_exits():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
