"""Signals that ask a long run to stop, answered between two batches of work."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

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
        if self._asked is not None and done != total:
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
