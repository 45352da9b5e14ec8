"""Frames of an extxyz file that another program is still writing."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from prcli.data.frame_scan import FrameScanner
from prcli.data.streams import read_errors
from prcli.errors import FormatError, InputFileError

_CHUNK_BYTES = 1 << 20
_END_BYTES = 256
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


class GrowingFrames:
    """Reads complete frames off the end of a plain extxyz file as they appear.

    Use it in a ``with`` block.

    Parameters
    ----------
    path : path-like
        It may still be empty.

    Attributes
    ----------
    n_taken : int
        Frames that were given out.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._scanner = FrameScanner(self._path)
        self._read = bytearray()  # what was read and not given out
        self._start = 0  # byte of the file where that begins
        self._end = b""  # last bytes that were read
        self.n_taken = 0

    def __enter__(self) -> Self:
        """Open the file."""
        with read_errors(self._path):
            self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115 - closed by __exit__
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self._file.close()

    def take(self, at_least: int = 1 << 24) -> bytes:
        """Give the next complete frames; nothing if there are none yet.

        Parameters
        ----------
        at_least : int
            Bytes after which no more is read for now.

        Raises
        ------
        InputFileError
            If the file has become shorter, or another one has taken its name.
        FormatError
            If it is not plain extxyz.
        """
        self._check_same()
        while self._complete_bytes() < at_least:
            with read_errors(self._path):
                chunk = self._file.read(_CHUNK_BYTES)
            if not chunk:
                break
            if not self._start and not self._read and chunk.startswith(_PACKED):
                raise FormatError(
                    "a compressed file cannot be followed",
                    where=self._path,
                    expected="plain extxyz",
                )
            self._read += chunk
            self._end = (self._end + chunk)[-_END_BYTES:]
            self._scanner.feed(chunk)
        return self._give_out()

    @property
    def n_left_over(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._read)

    def _complete_bytes(self) -> int:
        """Bytes of complete frames that were read and not given out."""
        ends = self._scanner.end
        return ends[-1] - self._start if len(ends) > self.n_taken else 0

    def _give_out(self) -> bytes:
        offsets, ends = self._scanner.offset, self._scanner.end
        if len(offsets) == self.n_taken:
            return b""
        # Lattice vectors may have followed a frame that was given out before they came.
        begin, end = offsets[self.n_taken] - self._start, ends[-1] - self._start
        frames = bytes(self._read[begin:end])
        del self._read[:end]
        self._start += end
        self.n_taken = len(offsets)
        return frames

    def _check_same(self) -> None:
        """Refuse a file that no longer begins with what was read."""
        with read_errors(self._path):
            named, opened = os.stat(self._path), os.fstat(self._file.fileno())
        if (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino):
            raise InputFileError(
                "another file has taken the name of the one that is followed", where=self._path
            )
        n_read = self._start + len(self._read)
        if opened.st_size < n_read:
            raise InputFileError(
                "the file that is followed has become shorter",
                where=self._path,
                expected=f"at least {n_read} bytes",
                got=f"{opened.st_size} bytes",
            )
        with read_errors(self._path):
            end = os.pread(self._file.fileno(), len(self._end), n_read - len(self._end))
        if end != self._end:
            raise InputFileError(
                "the file that is followed was written anew",
                where=self._path,
                expected=f"what was read before, in the last of its first {n_read} bytes",
                remedy="follow it again from its beginning",
            )
