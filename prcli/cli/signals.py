"""Signals that end a run: an orderly exit, and one that no library can swallow."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: What a closed terminal and batch systems send.
_ENDINGS = ("SIGTERM", "SIGHUP", "SIGUSR1")

#: Seconds after which a signal whose exit was swallowed is sent again: long enough for what has
#: swallowed it to be left, on a busy machine, too.
_PAUSE = 0.05


@contextmanager
def orderly_exits(hold: Callable[[int], bool] | None = None) -> Iterator[None]:
    """Let signals leave through the ordinary exits, so that temporary files are removed.

    A handler may run while a library calls back, such as the callback of a weak reference, where
    an exception is printed and dropped; the signal is then sent once more a moment later.

    Parameters
    ----------
    hold : callable, optional
        Called with the number of a signal, also of an interrupt; says whether something else
        answers it at a better moment.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        if hold is not None and hold(number):
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise _SignalExit(128 + number)

    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        number = _number_behind(dropped.exc_value)
        if number is None:
            before(dropped)
        else:
            # Not from here: what is raised within a hook is dropped as well.
            threading.Timer(_PAUSE, os.kill, (os.getpid(), number)).start()

    for name in _ENDINGS if hold is None else (*_ENDINGS, "SIGINT"):
        number = getattr(signal, name, None)
        # What was told to ignore a signal, as nohup does, goes on ignoring it.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


class _SignalExit(SystemExit):
    """The exit that a signal asks for."""


def _number_behind(error: BaseException | None) -> int | None:
    if isinstance(error, KeyboardInterrupt):
        return int(signal.SIGINT)
    if isinstance(error, _SignalExit) and isinstance(error.code, int):
        return error.code - 128
    return None
