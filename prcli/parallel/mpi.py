"""Ranks that talk through MPI, and end together whatever ends one of them.

Before ranks exchange anything, each tells whether it goes on: a round. A rank that fails leaves
its work, tells the others by a message that they look for during long work, and then takes part
in that round, where all learn what has happened and raise it. A rank that does not come within
`GRACE_SECONDS` cannot be waited for: then all are brought down at once.

Ranks wait by asking and sleeping. MPI itself would wait at full load, which takes the processors
away from ranks that work, and would not let signals through.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from prcli.errors import PrcliError
from prcli.parallel.failure import exit_for, passed_on
from prcli.records import Value

if TYPE_CHECKING:
    from mpi4py import MPI

#: How long a rank that has failed waits for the others to notice.
GRACE_SECONDS = 60.0

#: Questions asked without a pause between them, and the longest pause.
_SPINS = 50
_LONGEST_PAUSE = 1e-3

_DATA, _FAILURE = 1, 2


class _LateError(Exception):
    """The other ranks have not come in time."""


class MpiCommunicator:
    """A rank of a parallel run; see `prcli.records.Communicator`.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    """

    def __init__(self, world: MPI.Comm) -> None:
        from mpi4py import MPI

        self._mpi = MPI
        self._comm = world.Dup()
        self.rank: int = self._comm.rank
        self.size: int = self._comm.size
        self._failure: BaseException | None = None
        self._sending: MPI.Request | None = None
        self._announcements: list[MPI.Request] = []
        self._n_inside = 0
        self._asked: int | None = None
        self._is_draining = False

    def gather_all(self, value: Value) -> list[Value]:
        """Give every rank the values of all, in the order of the ranks."""
        with self._talking():
            self._finish_sending()
            self._round(None)
            return list(self._comm.allgather(value))

    def broadcast(self, value: Value) -> Value:
        """Give every rank the value of rank 0; those of the others are dropped."""
        with self._talking():
            self._finish_sending()
            self._round(None)
            result: Value = self._comm.bcast(value if self.rank == 0 else None)
            return result

    def send(self, value: object, to: int) -> None:
        """Send a value to one rank; returns once the one before is on its way."""
        with self._talking():
            self._finish_sending()
            self._sending = self._comm.isend(value, to, _DATA)

    def receive(self, source: int | None = None) -> Any:
        """Wait for the next value from a rank, or from any."""
        wanted = self._mpi.ANY_SOURCE if source is None else source
        status = self._mpi.Status()

        def is_there() -> bool:
            self._join_failure()
            return bool(self._comm.Iprobe(wanted, _DATA, status))

        with self._talking():
            self._wait(is_there)
            return self._comm.recv(None, status.source, _DATA)

    def has_message(self) -> bool:
        """Whether `receive` would not have to wait."""
        with self._talking():
            self._join_failure()
            return bool(self._comm.Iprobe(self._mpi.ANY_SOURCE, _DATA))

    def check(self) -> None:
        """Raise what another rank has raised; to be called now and then in long work."""
        with self._talking():
            self._join_failure()

    def hold(self, number: int) -> bool:
        """Keep a signal until this rank has stopped talking to others.

        Parameters
        ----------
        number : int
            Of the signal.

        Returns
        -------
        held : bool
            Whether it is kept; else it is to be answered now.
        """
        if self._n_inside:
            self._asked = number
        return self._n_inside > 0

    def leave(self, error: BaseException | None) -> None:
        """End the work of this rank: tell the others how, or hear that one has failed.

        Parameters
        ----------
        error : exception or None
            What has ended the work here; None if it is done.

        Raises
        ------
        BaseException
            What has ended another rank, if the work is done here.
        """
        # For good: from here on a signal can change nothing.
        self._n_inside += 1
        if self._failure is not None:
            return
        try:
            if error is None:
                self._finish_sending()
                self._round(None)
            else:
                self._announce()
                self._round(error, time.monotonic() + GRACE_SECONDS)
        except _LateError:
            self._abort(error)
        except BaseException:
            if error is None:
                raise

    def conclude(self, code: int) -> int:
        """Meet all ranks for the last time, and give each the exit code of rank 0."""
        self._drain()
        return int(self._comm.bcast(code))

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Keep signals, whose exits would leave the other ranks in the middle of an exchange."""
        if self._failure is not None:
            raise self._failure
        self._n_inside += 1
        try:
            yield
        finally:
            self._n_inside -= 1
        if self._asked is not None and not self._n_inside:
            raise exit_for(self._asked)

    def _round(self, error: BaseException | None, deadline: float | None = None) -> None:
        """Learn whether all ranks go on; raise what has ended one of them, the first first."""
        self._meet(error is not None, error, deadline)

    def _meet(
        self, has_failed: bool, error: BaseException | None, deadline: float | None = None
    ) -> None:
        fails = np.array([has_failed], dtype=np.int32)
        some = np.zeros(1, dtype=np.int32)
        request = self._comm.Iallreduce(fails, some, op=self._mpi.MAX)
        self._wait(request.Test, deadline)
        if not some[0]:
            return
        if error is None and self._asked is not None:
            error = exit_for(self._asked)
        reports = self._comm.allgather(None if error is None else passed_on(error, self.rank))
        self._failure = next(report for report in reports if report is not None)
        raise self._failure

    def _join_failure(self) -> None:
        """Take part in the round of a rank that has failed, if there is one."""
        if self._comm.Iprobe(self._mpi.ANY_SOURCE, _FAILURE):
            self._meet(True, None)

    def _announce(self) -> None:
        """Tell all others to look for a failure."""
        if not self._announcements:
            self._announcements = [
                self._comm.isend(None, other, _FAILURE)
                for other in range(self.size)
                if other != self.rank
            ]

    def _finish_sending(self) -> None:
        """Wait until the last value that was sent is on its way."""
        sending = self._sending
        if sending is None:
            return

        def is_gone() -> bool:
            self._join_failure()
            return bool(sending.Test())

        self._wait(is_gone)
        self._sending = None

    def _wait(self, is_over: Callable[[], bool], deadline: float | None = None) -> None:
        """Ask until something is over, ever less often."""
        n_asked, pause = 0, 1e-5
        while not is_over():
            n_asked += 1
            if n_asked <= _SPINS:
                continue
            if self._asked is not None and not self._is_draining:
                self._announce()
            if deadline is not None and time.monotonic() > deadline:
                raise _LateError
            time.sleep(pause)
            pause = min(1.2 * pause, _LONGEST_PAUSE)

    def _drain(self) -> None:
        """Drop what was sent and is not wanted any more, until nothing is on its way."""
        self._is_draining = True
        pending = [*self._announcements, *([] if self._sending is None else [self._sending])]
        barrier: MPI.Request | None = None

        def is_over() -> bool:
            nonlocal barrier
            while self._comm.Iprobe(self._mpi.ANY_SOURCE, self._mpi.ANY_TAG):
                self._comm.recv(None, self._mpi.ANY_SOURCE, self._mpi.ANY_TAG)
            if barrier is None:
                if all(request.Test() for request in pending):
                    barrier = self._comm.Ibarrier()
                return False
            return bool(barrier.Test())

        self._wait(is_over)

    def _abort(self, error: BaseException | None) -> NoReturn:
        """Bring all ranks down, after telling why."""
        assert error is not None
        code = error.exit_code if isinstance(error, PrcliError) else 1
        shown = passed_on(error, self.rank)
        text = f"prcli: error: {shown}" if isinstance(error, PrcliError) else str(shown)
        print(f"{text}\nprcli: rank {self.rank} gave up", file=sys.__stderr__, flush=True)
        self._comm.Abort(code)
        raise SystemExit(code)
