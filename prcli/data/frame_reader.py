"""Raw bytes of extxyz frames, by byte offset."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from prcli.data.streams import open_stream, read_errors
from prcli.errors import InputFileError

_MAX_LINE_AHEAD = 256
_MAX_VECTORS = 3


class FrameReader:
    """Raw bytes of frames, by byte offset.

    Plain files are read at random. In compressed ones every step back starts again from the
    front, so ask for frames in the order of their offsets, or for all at once with `frames`.

    Parameters
    ----------
    name : str
        File that messages name.
    stream : binary file
        Seekable, decompressed bytes.
    compressed : bool
        Whether stepping back is expensive.
    """

    def __init__(self, name: str, stream: BinaryIO, compressed: bool) -> None:
        self._name = name
        self._stream = stream
        self._compressed = compressed
        # The line after the last frame, read in search of lattice vectors: byte, content.
        self._ahead: tuple[int, bytes] = (-1, b"")

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes.

        Parameters
        ----------
        offset, length : int
            As in a `FrameIndex`.

        Returns
        -------
        bytes
            Exactly `length` of them.

        Raises
        ------
        InputFileError
            If the file is shorter, unreadable or damaged.
        """
        with read_errors(self._name):
            ahead = self._go_to(offset)[:length]
            content = ahead + self._stream.read(length - len(ahead))
        if len(content) < length:
            self._raise_changed(offset, f"{length} bytes", f"{len(content)} bytes")
        return content

    def read_lines(self, offset: int, n_lines: int) -> list[bytes]:
        """Read whole lines.

        Parameters
        ----------
        offset : int
            Byte where the first begins.
        n_lines : int
            How many.

        Returns
        -------
        list of bytes
            With their newlines; fewer where the file ends before.

        Raises
        ------
        InputFileError
            If the file is unreadable or damaged.
        """
        with read_errors(self._name):
            ahead = self._go_to(offset)
            return ([ahead] if ahead else []) + list(islice(self._stream, n_lines - bool(ahead)))

    def read_frame(self, offset: int) -> bytes:
        """Read a frame of which only the beginning is known.

        Parameters
        ----------
        offset : int
            Byte where the frame begins.

        Returns
        -------
        bytes
            Count line, comment line, one line per atom and ``VEC`` lines if there are any.

        Raises
        ------
        InputFileError
            If no whole frame is there: the file is another one than was indexed.
        """
        with read_errors(self._name):
            count_line = self._go_to(offset) or self._stream.readline(_MAX_LINE_AHEAD)
            word = count_line.strip()
            if not word.isdigit() or not count_line.endswith(b"\n"):
                found = repr(word[:40].decode("utf-8", "replace"))
                self._raise_changed(offset, "a number of atoms", found)
            lines = [count_line, *islice(self._stream, int(word) + 1)]
            if len(lines) < int(word) + 2:
                self._raise_changed(offset, f"{int(word) + 2} lines", f"{len(lines)} lines")
            frame = b"".join(lines)
            return frame + self._read_vectors(offset + len(frame))

    def frames(self, offsets: ArrayLike, lengths: ArrayLike | None = None) -> Iterator[bytes]:
        """Read frames in the order asked for.

        Parameters
        ----------
        offsets : (n,) int array
            Bytes where frames begin, in any order, repeated or not.
        lengths : (n,) int array, optional
            Bytes of each frame; saves the search for their ends.

        Yields
        ------
        bytes
            A frame. From compressed files each frame is read once, in one pass: frames whose
            offsets do not increase are kept in memory together.

        Raises
        ------
        InputFileError
            As `read` and `read_frame`.
        """
        begin = np.asarray(offsets, dtype=np.int64)
        size = None if lengths is None else np.asarray(lengths, dtype=np.int64)
        if not self._compressed or bool(np.all(begin[1:] > begin[:-1])):
            yield from self._each(begin, size)
            return
        unique, first = np.unique(begin, return_index=True)
        found = self._each(unique, None if size is None else size[first])
        kept = dict(zip(unique.tolist(), found, strict=True))
        yield from (kept[offset] for offset in begin.tolist())

    def _each(self, offsets: np.ndarray, lengths: np.ndarray | None) -> Iterator[bytes]:
        """Read frame by frame."""
        if lengths is None:
            return map(self.read_frame, offsets.tolist())
        return map(self.read, offsets.tolist(), lengths.tolist())

    def _go_to(self, offset: int) -> bytes:
        """Move to a byte; return what has been read from there on already."""
        at, line = self._ahead
        self._ahead = (-1, b"")
        if at == offset:
            return line
        self._stream.seek(offset)
        return b""

    def _read_vectors(self, offset: int) -> bytes:
        """Read the ``VEC`` lines that follow the atoms, if any."""
        vectors = b""
        line = self._stream.readline(_MAX_LINE_AHEAD)
        while line.lstrip().startswith(b"VEC") and vectors.count(b"\n") < _MAX_VECTORS:
            vectors += line
            line = self._stream.readline(_MAX_LINE_AHEAD)
        self._ahead = (offset + len(vectors), line)
        return vectors

    def _raise_changed(self, offset: int, expected: str, got: str) -> NoReturn:
        """Say that the file is not the one that was indexed."""
        raise InputFileError(
            "structure is not where it was",
            where=f"{self._name}, byte {offset}",
            expected=expected,
            got=got,
            remedy="the file has changed since it was indexed; index it again",
        )


@contextmanager
def open_frames(path: str | os.PathLike[str]) -> Iterator[FrameReader]:
    """Open an extxyz file to read frames from it.

    Parameters
    ----------
    path : path-like
        Plain, gzip, bzip2 or xz; the content tells which.

    Yields
    ------
    FrameReader
        Usable within the context.

    Raises
    ------
    InputFileError
        If the file cannot be opened.
    """
    with open_stream(path) as stream:
        # A plain file comes as a buffer around it, anything else decompresses.
        yield FrameReader(os.fspath(path), stream, not isinstance(stream, io.BufferedReader))
