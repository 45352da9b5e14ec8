from __future__ import annotations

import os
import signal
from contextlib import contextmanager

import pytest

from prcli.cli.stopping import StopRequests
from prcli.records import no_progress


class LeftError(Exception):
    """Raised in place of an exit."""


class SecondError(Exception):
    """Raised by the handler that was there before."""


def leave(number):
    raise LeftError(number)


def raise_second(number, frame):
    raise SecondError


@pytest.fixture(autouse=True)
def handler():
    before = signal.signal(signal.SIGTERM, raise_second)
    yield
    signal.signal(signal.SIGTERM, before)


@contextmanager
def requests():
    with StopRequests(no_progress, "work", leave) as step:
        yield step


def ask() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_is_answered_at_the_next_report():
    with requests() as step:
        step("work", 1, 3)
        ask()
        with pytest.raises(LeftError, match=str(int(signal.SIGTERM))):
            step("work", 2, 3)


def test_other_tasks_go_on():
    with requests() as step:
        step("work", 1, 3)
        ask()
        step("check", 2, 3)


def test_work_that_is_done_is_not_stopped():
    with requests() as step:
        step("work", 1, 3)
        ask()
        step("work", 3, 3)


def test_a_second_signal_acts_at_once():
    with requests() as step:
        step("work", 1, 3)
        ask()
        with pytest.raises(SecondError):
            ask()


def test_before_the_task_signals_act_at_once():
    with requests() as step:
        step("check", 1, 3)
        with pytest.raises(SecondError):
            ask()


def test_handlers_are_put_back():
    with requests() as step:
        step("work", 1, 3)
        assert signal.getsignal(signal.SIGTERM) is not raise_second
    assert signal.getsignal(signal.SIGTERM) is raise_second


def test_what_is_ignored_goes_on_being_ignored():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with requests() as step:
        step("work", 1, 3)
        ask()
        step("work", 2, 3)


def test_progress_is_passed_on():
    seen = []
    with StopRequests(lambda *step: seen.append(step), "work", leave) as step:
        step("check", 1, None)
        step("work", 2, 4)
    assert seen == [("check", 1, None), ("work", 2, 4)]
