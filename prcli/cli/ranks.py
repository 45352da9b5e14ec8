"""Ranks of a parallel run as the command line sees them: one speaks, all end together."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from prcli.errors import PrcliError, RequestError
from prcli.parallel.communicator import start_communicator
from prcli.parallel.failure import RankFailureError
from prcli.parallel.launcher import find_launch
from prcli.records import ALONE, Communicator, SerialCommunicator

if TYPE_CHECKING:
    from prcli.parallel.mpi import MpiCommunicator


class Rank:
    """The place of this process among those of a run, mostly the only one.

    Attributes
    ----------
    communicator : Communicator
    code : int
        Exit code; that of rank 0 once all have met.
    """

    def __init__(self, communicator: SerialCommunicator | MpiCommunicator) -> None:
        self.communicator = communicator
        self.code = 0

    @property
    def hold(self) -> Callable[[int], bool] | None:
        """Says of a signal whether it has to wait; None for a run of one process."""
        return None if isinstance(self.communicator, SerialCommunicator) else self.communicator.hold

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """Tell other ranks how the block ended, and raise what has ended one of them."""
        if isinstance(self.communicator, SerialCommunicator):
            yield
            return
        try:
            yield
        except BaseException as error:
            # What click makes of an interrupt means nothing to the other ranks.
            told = KeyboardInterrupt() if isinstance(error, click.Abort) else error
            self.communicator.leave(told)
            raise
        self.communicator.leave(None)


@contextmanager
def as_a_rank() -> Iterator[Rank]:
    """Join the other ranks where there are any; only rank 0 is heard.

    Yields
    ------
    rank : Rank
        Its exit code becomes that of all.
    """
    rank = Rank(_joined())
    communicator = rank.communicator
    if isinstance(communicator, SerialCommunicator):
        yield rank
        return
    with _silence() if communicator.rank else ExitStack():
        try:
            yield rank
        except SystemExit as leaving:
            rank.code = leaving.code if isinstance(leaving.code, int) else 1
        except RankFailureError as error:
            sys.stderr.write(error.text)
            rank.code = 1
        except BaseException:
            traceback.print_exc()
            rank.code = 1
        rank.code = communicator.conclude(rank.code)


def _joined() -> SerialCommunicator | MpiCommunicator:
    try:
        return start_communicator(os.environ)
    except PrcliError as error:
        launch = find_launch(os.environ)
        # Every rank fails alike; one of each machine says so.
        if launch is None or launch.local_rank == 0:
            click.echo(f"prcli: error: {error}", err=True)
        sys.exit(error.exit_code)


@contextmanager
def _silence() -> Iterator[None]:
    """Send what is written and printed nowhere."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def current_communicator() -> Communicator:
    """Give the communicator of the command that is running."""
    context = click.get_current_context(silent=True)
    found = None if context is None else context.find_root().obj
    return ALONE if found is None else found


def refuse_ranks(communicator: Communicator) -> None:
    """Refuse to run as several ranks what would do all of its work in each.

    Raises
    ------
    RequestError
    """
    if communicator.size == 1:
        return
    context = click.get_current_context(silent=True)
    name = "prcli" if context is None else context.command_path
    raise RequestError(
        f"{name} runs as one process",
        expected="one rank",
        got=f"{communicator.size} ranks",
        remedy="start it without mpiexec or srun; hessian, score, select and features compute "
        "run as several ranks",
    )
