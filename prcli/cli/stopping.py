"""Signals that ask a long run to stop, answered between two batches of work."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from prcli.errors import StoppedEarlyError
from prcli.records import Progress

#: What a terminal and batch systems send before the time is up.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


class StopRequests:
    """Progress that stops the work where a signal has asked for it.

    A handler that raises can strike anywhere: within a callback of a library, which swallows the
    exception, or while a file is being written. So from the first report of `task` on, signals are
    only noted, and answered at the next report. A second signal is answered at once.

    Parameters
    ----------
    progress : callable
        Is called as well.
    task : str
        The task that is worth a stop between batches; before it, signals act as usual.
    leave : callable
        Called with the number of the signal; must raise.
    """

    def __init__(self, progress: Progress, task: str, leave: Callable[[int], None]) -> None:
        self._progress = progress
        self._task = task
        self._leave = leave
        self._before: dict[int, Any] = {}
        self._asked: int | None = None

    def __enter__(self) -> Self:
        """Give the progress."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self, task: str, done: int, total: int | None) -> None:
        """Report progress, and leave if that was asked for and there is work left."""
        self._progress(task, done, total)
        if task != self._task:
            return
        if not self._before:
            self._note_signals()
        if done != total:
            self.answer()

    def answer(self) -> None:
        """Leave if that was asked for."""
        if self._asked is not None:
            self._leave(self._asked)

    def _note_signals(self) -> None:
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is None or not callable(signal.getsignal(number)):
                # Unknown to this system, or left to it: what is ignored goes on being ignored.
                continue
            self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None:
            self._before[number](number, frame)
        self._asked = number


def leave_at_once(number: int) -> NoReturn:
    """Leave as the handlers of the command line do.

    Parameters
    ----------
    number : int
        Of the signal.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


@contextmanager
def telling_of_checkpoint(kept: Callable[[], tuple[str, str] | None]) -> Iterator[None]:
    """Turn the exit of a signal into that of a run that can go on, where it can.

    Parameters
    ----------
    kept : callable
        Gives what was done, such as "3 of 10 picks", and the file that keeps it; None if nothing
        is kept.
    """
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as leaving:
        name, found = _signal_behind(leaving), kept()
        if found is None or name is None:
            raise
        raise StoppedEarlyError(
            f"stopped by {name} after {found[0]}",
            where=found[1],
            remedy="the same command goes on from this checkpoint",
        ) from leaving


def _signal_behind(leaving: SystemExit | KeyboardInterrupt) -> str | None:
    """Name of the signal that asked for an exit; None if it was none."""
    if isinstance(leaving, KeyboardInterrupt):
        return signal.SIGINT.name
    code = leaving.code
    return signal.Signals(code - 128).name if isinstance(code, int) and code > 128 else None
