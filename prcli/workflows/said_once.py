"""Messages that several runs of the same work would repeat."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Repeated(logging.Filter):
    """Lets each text of a level or above through once."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a message is new."""
        text = record.getMessage()
        is_new = record.levelno >= self._level and text not in self._said
        self._said.add(text)
        return is_new


@contextmanager
def said_once(level: int = logging.DEBUG) -> Iterator[None]:
    """Let the library say the same thing only once inside a ``with`` block.

    Parameters
    ----------
    level : int
        Below which it says nothing: what holds of one run would be taken for another.
    """
    repeated = _Repeated(level)
    names = [name for name in logging.root.manager.loggerDict if name.startswith("prcli.")]
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(repeated)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(repeated)
