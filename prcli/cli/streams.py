"""The standard streams as a command needs them: what is written arrives whole, or fails."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO, cast


class _Output(io.FileIO):
    """Standard output whose failures say that they are its own."""

    def write(self, data: Any, /) -> int:
        """Write some bytes, and tell how many."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None


def prepare_streams() -> None:
    """Make standard output buffered, and put something in the place of closed streams.

    Without a buffer, as PYTHONUNBUFFERED asks for, Python takes a write that a full disk or a
    gone reader has cut short for a whole one. Files that are opened must not get the number of a
    closed stream, or what a library prints goes into them.
    """
    sys.stdin = sys.stdin or _in_place_of(0, os.O_WRONLY, "r")
    sys.stdout = sys.stdout or _in_place_of(1, os.O_RDONLY, "w")
    # Messages that nobody can see do not end a run; data that nobody gets do.
    sys.stderr = sys.stderr or _in_place_of(2, os.O_WRONLY, "w")
    if sys.stdout is sys.__stdout__ or sys.__stdout__ is None:
        given = sys.stdout
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Output(given.fileno(), "wb", closefd=False)),
            encoding=given.encoding,
            errors=given.errors,
            line_buffering=given.isatty(),
        )


def _in_place_of(number: int, access: int, mode: str) -> TextIO:
    """Open nothing in the place of a closed stream: nothing can be read, or written, there."""
    opened = os.open(os.devnull, access)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    return cast(TextIO, os.fdopen(number, mode, encoding="utf-8", closefd=False))
