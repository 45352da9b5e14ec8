from __future__ import annotations

import os
import signal
from contextlib import contextmanager

import pytest

from prcli.cli.stopping import StopRequests, leave_at_once, telling_of_checkpoint
from prcli.errors import StoppedEarlyError
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


def test_what_was_asked_for_late_is_answered_on_demand():
    with requests() as step:
        step.answer()
        step("work", 1, 3)
        ask()
        step("work", 3, 3)
        with pytest.raises(LeftError):
            step.answer()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_leaving_at_once_gives_the_code_of_the_signal(number, code):
    with pytest.raises(SystemExit, match=str(code)):
        leave_at_once(number)
    with pytest.raises(KeyboardInterrupt):
        leave_at_once(signal.SIGINT)


def test_a_signal_with_a_checkpoint_is_a_stop_that_can_go_on():
    with (
        pytest.raises(StoppedEarlyError, match="stopped by SIGTERM after 3 picks") as caught,
        telling_of_checkpoint(lambda: ("3 picks", "c")),
    ):
        leave_at_once(signal.SIGTERM)
    assert caught.value.where == "c"
    assert caught.value.exit_code == 75


def test_a_signal_without_a_checkpoint_stays_what_it_is():
    with pytest.raises(SystemExit, match="143"), telling_of_checkpoint(lambda: None):
        leave_at_once(signal.SIGTERM)


def test_other_exits_stay_what_they_are():
    with pytest.raises(SystemExit, match="3"), telling_of_checkpoint(lambda: ("3 picks", "c")):
        raise SystemExit(3)


def test_an_interrupt_with_a_checkpoint_can_go_on():
    with (
        pytest.raises(StoppedEarlyError, match="stopped by SIGINT after 3 picks"),
        telling_of_checkpoint(lambda: ("3 picks", "c")),
    ):
        raise KeyboardInterrupt


def test_an_interrupt_without_a_checkpoint_stays_one():
    with pytest.raises(KeyboardInterrupt), telling_of_checkpoint(lambda: None):
        raise KeyboardInterrupt
