"""How what ends one rank is passed on to the others."""

from __future__ import annotations

import signal
import traceback

from prcli.errors import PrcliError


class RankFailureError(Exception):
    """Another rank has ended by a fault of the program, or of the machine.

    Parameters
    ----------
    text : str
        What to show: the traceback of the other rank.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)


def passed_on(error: BaseException, rank: int) -> BaseException:
    """Give what another rank shall raise for an error of this one.

    Errors that a user can cause and exits stay what they are; of anything else the traceback
    goes along.

    Parameters
    ----------
    error : exception
    rank : int
        Of this process.
    """
    if isinstance(error, PrcliError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt()
    if isinstance(error, SystemExit):
        return SystemExit(error.code if isinstance(error.code, int) else 1)
    if isinstance(error, OSError) and type(error).__module__ == "builtins":
        return OSError(error.errno, error.strerror or str(error), error.filename)
    text = "".join(traceback.format_exception(error))
    return RankFailureError(f"prcli: rank {rank} has failed\n{text}")


def exit_for(number: int) -> BaseException:
    """Give the exit that a signal asks for."""
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
