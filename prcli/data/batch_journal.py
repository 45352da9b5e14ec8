"""Batches of computed rows, kept on the disk so that interrupted work can go on.

A journal is a file that only grows: a line of JSON that tells the request, then one record for
each batch. A record that was not written to its end is told by its checksum, and dropped. Whatever
ends a run, a signal or a power cut, leaves the records before it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import IO, Self

import numpy as np

from prcli.data.checkpoint import check_same_request, plain_request
from prcli.data.hdf5_file import writing
from prcli.errors import FormatError, OutputError

logger = logging.getLogger(__name__)

_MAGIC = "prcli-journal"
_VERSION = 1

#: Length and checksum before the content of a record.
_HEAD = struct.Struct("<QI")

#: Longest first line.
_LINE_BYTES = 1 << 24


class BatchJournal:
    """Named arrays of one batch after another; use it in a ``with`` block.

    Parameters
    ----------
    path : path-like
        Created if it is not there, and continued if it is.
    request : mapping
        All that decides what the batches hold, as JSON knows it.

    Raises
    ------
    MismatchError
        If the file belongs to another request.
    FormatError
        If it is no journal.
    OutputError
        If it cannot be written, or another run writes it.
    """

    def __init__(self, path: str | os.PathLike[str], request: Mapping[str, object]) -> None:
        self.path = os.fspath(path)
        self._is_empty = True
        self._request = plain_request(request)
        with writing(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            self._file: IO[bytes] = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            self._lock()
            self._read_head()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Give the journal."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the file, unless the block failed and some batches are worth keeping."""
        if error is None or self._is_empty:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        self._file.close()

    def replay(self) -> Iterator[dict[str, np.ndarray]]:
        """Read the batches of earlier runs; to be exhausted before any is added."""
        while True:
            start = self._file.tell()
            batch = self._read_record()
            if batch is None:
                break
            yield batch
        with writing(self.path):
            self._file.seek(start)
            self._file.truncate()

    def append(self, batch: Mapping[str, np.ndarray]) -> None:
        """Add a batch.

        Raises
        ------
        OutputError
            If the disk is full or fails.
        """
        arrays = {name: np.ascontiguousarray(values) for name, values in batch.items()}
        shapes = [[name, each.dtype.str, each.shape] for name, each in arrays.items()]
        text = (json.dumps(shapes) + "\n").encode()
        pieces = [memoryview(text)]
        pieces += [each.data.cast("B") for each in arrays.values() if each.size]
        checksum = 0
        for piece in pieces:
            checksum = zlib.crc32(piece, checksum)
        head = memoryview(_HEAD.pack(sum(map(len, pieces)), checksum))
        with writing(self.path):
            for piece in (head, *pieces):
                _write(self._file, piece)
        self._is_empty = False

    def _lock(self) -> None:
        """Keep other runs away; file systems that know no locks are taken as they are."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                "another run is writing this checkpoint",
                where=self.path,
                remedy="wait for it, or give another --checkpoint",
            ) from error
        except OSError as error:
            logger.debug("%s cannot be locked: %s", self.path, error.strerror)

    def _read_head(self) -> None:
        """Compare the request of the file with ours, or write it into a new file."""
        line = self._file.read(_LINE_BYTES).partition(b"\n")[0]
        head = {"format": _MAGIC, "version": _VERSION, "request": self._request}
        if line:
            self._check_head(line)
            self._file.seek(len(line) + 1)
            self._is_empty = os.fstat(self._file.fileno()).st_size <= len(line) + 1
            return
        with writing(self.path):
            self._file.truncate(0)
            self._file.seek(0)
            _write(self._file, memoryview((json.dumps(head) + "\n").encode()))

    def _check_head(self, line: bytes) -> None:
        try:
            found = json.loads(line)
            known = found["format"] == _MAGIC and found["version"] == _VERSION
            request = dict(found["request"])
        except (ValueError, KeyError, TypeError):
            known, request = False, {}
        if not known:
            raise FormatError(
                "file is not a checkpoint that this prcli can go on from",
                where=self.path,
                remedy="give another --checkpoint, or remove the file",
            )
        check_same_request(self.path, request, self._request)

    def _read_record(self) -> dict[str, np.ndarray] | None:
        """Read a record; None at the end, or where one was not written as a whole."""
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        length, checksum = _HEAD.unpack(head)
        if length > os.fstat(self._file.fileno()).st_size - self._file.tell():
            return None
        content = bytearray(length)
        view, n_read = memoryview(content), 0
        while n_read < length and (more := self._file.readinto(view[n_read:])):  # type: ignore[attr-defined]
            n_read += more
        if n_read < length or zlib.crc32(content) != checksum:
            return None
        return _parse_record(content)


def _parse_record(content: bytearray) -> dict[str, np.ndarray]:
    """Cut a record into its arrays."""
    at = content.index(b"\n") + 1
    batch = {}
    for name, kind, shape in json.loads(content[:at]):
        dtype, count = np.dtype(kind), int(np.prod(shape))
        batch[name] = np.frombuffer(content, dtype, count, at).reshape(shape)
        at += count * dtype.itemsize
    return batch


def _write(file: IO[bytes], piece: memoryview) -> None:
    """Write all of a piece: unbuffered files may take less at a time."""
    while piece:
        piece = piece[file.write(piece) :]
