"""Frames of extxyz files: an index of byte offsets, and byte-for-byte copies."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from prcli.data.column_layout import column_layout
from prcli.data.comment_pairs import comment
from prcli.data.frame_reader import FrameReader, open_frames
from prcli.data.frame_scan import FrameScanner
from prcli.data.streams import open_stream, read_errors
from prcli.errors import InputFileError
from prcli.records import FileStamp, Progress, no_progress

__all__ = [
    "FrameIndex",
    "FrameReader",
    "copy_frames",
    "index_frames",
    "join_frames",
    "open_frames",
]

#: Small chunks stay in the processor's cache, which makes the search for newlines faster.
_CHUNK_BYTES = 1 << 20
_DIGEST_BYTES = 16

#: Chunks between two reports of progress; smaller files are searched in no time.
_CHUNKS_TOLD = 64


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Where the frames of an extxyz file are.

    Attributes
    ----------
    offset : (S,) int64 array
        Byte where each frame begins, in the decompressed stream.
    length : (S,) int64 array
        Bytes of each frame, with its last newline where it has one, without blank lines that
        follow the last frame.
    n_atoms : (S,) int64 array
        Atoms of each frame, as its count line says.
    stamp : FileStamp
        The file as it is on the disk; an empty digest where none was asked for.
    """

    offset: np.ndarray
    length: np.ndarray
    n_atoms: np.ndarray
    stamp: FileStamp

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.offset)


def index_frames(
    path: str | os.PathLike[str], digest: bool = True, progress: Progress = no_progress
) -> FrameIndex:
    """Find the frames of an extxyz file without parsing atoms.

    Parameters
    ----------
    path : path-like
        Plain, gzip, bzip2 or xz; the content tells which.
    digest : bool
        Hash the file as it lies on the disk in the same pass.
    progress : callable
        Told of large files how many MiB have been searched; compressed ones have no known total.

    Returns
    -------
    FrameIndex
        24 bytes per frame; besides that, about 10 MiB are used whatever the size of the file.

    Raises
    ------
    InputFileError
        If the file is missing, unreadable, truncated or damaged.
    FormatError
        If it is not an extxyz file, or holds no frame.
    """
    name = os.fspath(path)
    scanner = FrameScanner(name)
    hasher = hashlib.blake2b(digest_size=_DIGEST_BYTES) if digest else None
    with read_errors(path):
        status = os.stat(path)
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    n_chunks = 0
    with open_stream(path, hasher) as stream:
        is_plain = isinstance(stream, io.BufferedReader)
        total = -(-status.st_size // _CHUNK_BYTES) if is_plain else None
        while n_read := _read_into(stream, buffer, name):
            scanner.feed(buffer[:n_read])
            n_chunks += 1
            if n_chunks % _CHUNKS_TOLD == 0:
                progress("index", n_chunks, total)
    scanner.finish()
    if n_chunks >= _CHUNKS_TOLD:
        progress("index", n_chunks, n_chunks)
    offset = np.frombuffer(scanner.offset, dtype=np.int64)
    index = FrameIndex(
        offset=offset,
        length=np.frombuffer(scanner.end, dtype=np.int64) - offset,
        n_atoms=np.frombuffer(scanner.n_atoms, dtype=np.int64),
        stamp=FileStamp(
            path=os.path.abspath(name),
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            digest=f"blake2b:{hasher.hexdigest()}" if hasher is not None else "",
        ),
    )
    if 0 <= scanner.last_line < scanner.end[-1]:
        _check_last_line(index, name, scanner.last_line)
    return index


def copy_frames(
    path: str | os.PathLike[str], offsets: ArrayLike, lengths: ArrayLike | None = None
) -> Iterator[bytes]:
    """Copy frames of one file, byte for byte, in the order asked for.

    Parameters
    ----------
    path : path-like
        The file.
    offsets, lengths : (n,) int array
        As for `FrameReader.frames`.

    Yields
    ------
    bytes
        A frame, as `join_frames` leaves it.

    Raises
    ------
    InputFileError
        As `FrameReader.frames`.
    """
    with open_frames(path) as reader:
        yield from join_frames(reader.frames(offsets, lengths))


def join_frames(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Make frames fit to be written one after the other.

    Parameters
    ----------
    frames : iterable of bytes
        Each at least a count line and a comment line, of one file or of several.

    Yields
    ------
    bytes
        The same frames; one without newline at its end that is followed by another gets it, in
        the style of its first line.
    """
    before = b""
    for frame in frames:
        if before:
            yield before if before.endswith(b"\n") else before + _newline_of(before)
        before = frame
    if before:
        yield before


def _newline_of(frame: bytes) -> bytes:
    """Tell how the lines of a frame end."""
    return b"\r\n" if frame.partition(b"\n")[0].endswith(b"\r") else b"\n"


def _read_into(stream: BinaryIO, buffer: memoryview, name: str) -> int:
    """Fill a buffer, with our errors."""
    with read_errors(name):
        # Typing knows `readinto` of concrete files only.
        return int(stream.readinto(buffer))  # type: ignore[attr-defined]


def _check_last_line(index: FrameIndex, name: str, last_line: int) -> None:
    """Refuse a file that ends within the fields of its last line, which has no newline."""
    offset, n_atoms = int(index.offset[-1]), int(index.n_atoms[-1])
    if n_atoms == 0:
        return
    with open_frames(name) as reader:
        head = reader.read_lines(offset, 3)
        last = reader.read(last_line, offset + int(index.length[-1]) - last_line)
    if last.lstrip().startswith(b"VEC"):
        n_expected = 4
    elif n_atoms == 1:
        n_expected = column_layout(comment(b"".join(head))).n_fields
    else:
        n_expected = len(head[2].split())
    if len(last.split()) < n_expected:
        raise InputFileError(
            "last structure is truncated",
            where=f"{name}, frame {len(index) - 1}",
            expected=f"{n_expected} fields on its last line",
            got=f"{len(last.split())} fields, and the end of the file",
            remedy="copy the file again, or cut it after the last complete frame",
        )
