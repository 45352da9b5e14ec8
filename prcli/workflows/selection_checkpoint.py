"""The checkpoint of a selection: when it is written, and what becomes of it in the end."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import fields

from prcli.data.checkpoint import (
    Checkpoint,
    check_same_request,
    plain_request,
    read_checkpoint,
    write_checkpoint,
)
from prcli.data.publish import check_output
from prcli.errors import OutputError
from prcli.numerics.greedy import Pick

logger = logging.getLogger(__name__)

#: Seconds of work that may be lost to what gives no warning.
SECONDS = 15.0

#: Writing takes no more than one part in so many of the time.
_WRITING_SHARE = 50


class SelectionCheckpoint:
    """Picks of a selection under way, kept in a file.

    A disk that is full or fails costs a warning and no more: the selection itself is worth more
    than what protects it.

    Parameters
    ----------
    path : str
        Read at once if it exists.

    Attributes
    ----------
    path : str
    n_kept : int
        Picks in the file; 0 where there is none.

    Raises
    ------
    OutputError
        If the file could not be written.
    FormatError, InputFileError
        If a file is there that is no checkpoint, or damaged.
    """

    def __init__(self, path: str) -> None:
        check_output(path, overwrite=True)
        self.path = path
        self._found = read_checkpoint(path)
        self.n_kept = 0 if self._found is None else self._found.n_steps
        self._request: Mapping[str, object] | None = None
        self._picks: list[Pick] = []
        self._has_failed = False
        self._due = time.monotonic() + SECONDS

    def begin(self, request: Mapping[str, object]) -> tuple[Pick, ...]:
        """Give the picks that an earlier run of the same request has made.

        Parameters
        ----------
        request : mapping of str to object
            All that decides the picks.

        Raises
        ------
        MismatchError
            If the checkpoint belongs to another request.
        """
        request = plain_request(request)
        if self._found is not None:
            check_same_request(self.path, self._found.request, request)
            self._picks = _picks_of(self._found)
            logger.info("%d picks were made by an earlier run: %s", self.n_kept, self.path)
        self._request = request
        return tuple(self._picks)

    def add(self, pick: Pick) -> None:
        """Record a pick, and write the file where the last time is long ago."""
        self._picks.append(pick)
        if time.monotonic() >= self._due:
            self._save()

    def close(self, error: BaseException | None) -> None:
        """Remove the file after success; otherwise bring it up to date.

        What is told to stop leaves a checkpoint in any case. After an error, or an interrupt from
        the keyboard, one is left only where the work has taken long enough for one to be there.

        Parameters
        ----------
        error : exception or None
            What ended the run.
        """
        if self._request is None:
            return
        if error is None:
            self._discard()
        elif (isinstance(error, SystemExit) or self.n_kept) and len(self._picks) > self.n_kept:
            self._save()

    def _save(self) -> None:
        assert self._request is not None
        columns = {
            field.name: [getattr(pick, field.name) for pick in self._picks]
            for field in fields(Pick)
        }
        start = time.monotonic()
        try:
            write_checkpoint(self.path, Checkpoint(self._request, columns))
        except OutputError as error:
            # A disk that stays full is worth no second warning.
            level = logging.DEBUG if self._has_failed else logging.WARNING
            logger.log(level, "the checkpoint is not written, and work goes on:\n%s", error)
            self._has_failed = True
        else:
            self.n_kept, self._has_failed = len(self._picks), False
        end = time.monotonic()
        self._due = end + max(SECONDS, _WRITING_SHARE * (end - start))

    def _discard(self) -> None:
        if self.n_kept:
            try:
                os.unlink(self.path)
            except OSError as error:
                logger.warning("%s cannot be removed: %s", self.path, error.strerror)


def _picks_of(found: Checkpoint) -> list[Pick]:
    """Put the columns of a file together again."""
    names = [field.name for field in fields(Pick)]
    rows = zip(*(found.columns[name] for name in names), strict=True)
    return [Pick(**dict(zip(names, row, strict=True))) for row in rows]


def open_checkpoint(path: str, output: str | None) -> SelectionCheckpoint:
    """Open a checkpoint, which must not stand where the result directory will.

    Raises
    ------
    OutputError
    """
    if output is not None:
        folder = os.path.realpath(output)
        if (os.path.realpath(path) + os.sep).startswith(folder + os.sep):
            raise OutputError(
                "the checkpoint lies where the result directory goes",
                where=path,
                expected=f"a file outside {output}",
                remedy="give another --checkpoint",
            )
    return SelectionCheckpoint(path)
