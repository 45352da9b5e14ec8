"""A data set that another program is still writing, taken as it grows."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.file_kind import file_kind
from prcli.data.growing_frames import GrowingFrames
from prcli.data.hessian_record import HessianRecord
from prcli.data.slices import split_slice
from prcli.data.store import open_store
from prcli.data.streams import read_errors
from prcli.errors import InputFileError, PrcliError, RequestError
from prcli.workflows.input_options import InputOptions, InputSet
from prcli.workflows.inputs import open_inputs

logger = logging.getLogger(__name__)

#: Structures of a store that are taken together.
_STRUCTURES_AT_A_TIME = 1 << 14


@dataclass(frozen=True)
class FollowOptions:
    """How a file that grows is followed.

    Attributes
    ----------
    interval : float
        Seconds between two looks at it.
    until_idle : float, optional
        Seconds without anything new after which it counts as complete; by default never.
    """

    interval: float = 5.0
    until_idle: float | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        RequestError
        """
        for name, value in vars(self).items():
            if value is not None and not value > 0.0:
                raise RequestError(
                    f"--{name.replace('_', '-')} must be a positive number of seconds",
                    got=str(value),
                )


@dataclass(frozen=True, eq=False)
class Growth:
    """Structures that have come.

    Attributes
    ----------
    data : Dataset
        Of them alone; open until the next are asked for.
    first : int
        Structures that came before.
    source : tuple of str
        Files that they come from.
    source_of, frame : ndarray of shape (n,)
        Position in `source` of the file of each, and its position in that file.
    """

    data: Dataset
    first: int
    source: tuple[str, ...]
    source_of: NDArray[np.int64]
    frame: NDArray[np.int64]


class GrowingData:
    """A store or an extxyz file that grows.

    A store grows by being replaced by a longer one of the same beginning.

    Parameters
    ----------
    path : str
    wanted : InputSet
        What the structures are for.
    inputs : InputOptions
        How extxyz is read, or its features are computed.
    record : HessianRecord
        That features go with.
    options : FollowOptions

    Raises
    ------
    RequestError
        If the file is of another kind, or has a slice.
    """

    def __init__(
        self,
        path: str,
        wanted: InputSet,
        inputs: InputOptions,
        record: HessianRecord,
        options: FollowOptions,
    ) -> None:
        self._path = path
        self._wanted = wanted
        self._inputs = inputs
        self._record = record
        self._options = options
        check_followed(path, inputs)

    def growth(self) -> Generator[Growth]:
        """Yield what is there and what comes, until nothing has come for long enough."""
        waited = _Patience(self._options)
        while not os.path.exists(self._path) or not os.path.getsize(self._path):
            # A run that has only begun has written nothing.
            if not os.path.exists(self._path):
                raise InputFileError("file is missing", where=self._path)
            if not waited.wait():
                return
        kind = file_kind(self._path)
        if kind not in ("store", "extxyz"):
            raise RequestError(
                "only stores and extxyz files can be followed",
                where=f"--follow {self._path}",
                got=f"a file of kind {kind}",
            )
        yield from self._stores(waited) if kind == "store" else self._frames(waited)

    def _frames(self, waited: _Patience) -> Iterator[Growth]:
        """Put new frames into files of their own, and read these."""
        with GrowingFrames(self._path) as growing, tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / os.path.basename(self._path)
            while True:
                first = growing.n_taken
                frames = growing.take()
                if not frames:
                    if not waited.wait():
                        break
                    continue
                waited.reset()
                copy.write_bytes(frames)
                numbers = np.arange(first, growing.n_taken)
                which = f" of what came after frame {first - 1}" if first else ""
                with self._opened(str(copy), which) as data:
                    nowhere = np.zeros(len(numbers), dtype=np.int64)
                    yield Growth(data, first, (self._path,), nowhere, numbers)
            if growing.n_left_over:
                logger.warning(
                    "%s ends within a frame, which is left out: %d bytes",
                    self._path,
                    growing.n_left_over,
                )

    def _stores(self, waited: _Patience) -> Iterator[Growth]:
        """Read the structures of a store that were not there before."""
        done, seen = 0, None
        while True:
            with read_errors(self._path):
                status = os.stat(self._path)
            now = (status.st_ino, status.st_size, status.st_mtime_ns)
            if now == seen:
                if not waited.wait():
                    return
                continue
            with open_store(self._path) as store:
                n_structures = store.n_structures
            if n_structures < done:
                raise InputFileError(
                    "the store that is followed has become shorter",
                    where=self._path,
                    expected=f"at least {done} structures",
                    got=str(n_structures),
                )
            for first in range(done, n_structures, _STRUCTURES_AT_A_TIME):
                waited.reset()
                last = min(first + _STRUCTURES_AT_A_TIME, n_structures)
                with self._opened(f"{self._path}@{first}:{last}") as data:
                    yield Growth(data, first, *data.frames())
            done, seen = n_structures, now

    @contextmanager
    def _opened(self, argument: str, which: str = "") -> Iterator[Dataset]:
        """Open what has come; errors name what is followed, and which part of it."""
        wanted = InputSet(
            self._wanted.name,
            (argument,),
            self._wanted.needs_atoms,
            self._wanted.needs_gradients,
            self._wanted.per,
        )
        try:
            (data,) = open_inputs([wanted], self._inputs, records=[self._record])
        except PrcliError as error:
            error.where = (error.where or argument).replace(argument, self._path) + which
            raise
        with data:
            yield data


class _Patience:
    """Waits from look to look, as long as it should."""

    def __init__(self, options: FollowOptions) -> None:
        self._options = options
        self.reset()

    def reset(self) -> None:
        """Start to count again: something has come."""
        self._since = time.monotonic()

    def wait(self) -> bool:
        """Wait for the next look; say whether there should be one."""
        limit = self._options.until_idle
        left = float("inf") if limit is None else limit - (time.monotonic() - self._since)
        if left <= 0.0:
            return False
        time.sleep(min(self._options.interval, left))
        return True


def check_followed(path: object, inputs: InputOptions) -> None:
    """Refuse what cannot be followed.

    Raises
    ------
    RequestError
    """
    if not isinstance(path, str) or path == "-" or split_slice(path)[1] is not None:
        raise RequestError(
            "only a whole file can be followed",
            where=f"--follow {path}",
            expected="a store or an extxyz file, without a slice",
        )
    if inputs.keep_features is not None:
        raise RequestError(
            "features of a file that grows are not kept",
            where="--follow, --keep-features",
            remedy="leave one of the two out",
        )


def one_of(arguments: Sequence[object]) -> object:
    """Give the only file of a command that follows one.

    Raises
    ------
    RequestError
        If there are several.
    """
    if len(arguments) != 1:
        raise RequestError(
            "only one file can be followed",
            where="--follow",
            got=f"{len(arguments)} files",
        )
    return arguments[0]
