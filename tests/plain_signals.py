"""Signals as a shell in the foreground leaves them."""

from __future__ import annotations

import signal


def heed_signals() -> None:
    """Let interrupts and hang-ups arrive: the session that runs the tests may ignore them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
