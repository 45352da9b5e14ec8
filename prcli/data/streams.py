"""Byte streams of structure files: compression told by content, hashing, spooling of stdin."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from prcli.errors import InputFileError, PrcliError

#: What decompression raises when the compressed data are cut short or damaged. A damaged
#: header is an OSError without error number, which `read_errors` tells from the system's own.
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError)
_COPY_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 15


class Hasher(Protocol):
    """What of `hashlib` is used here."""

    def update(self, data: memoryview, /) -> None:
        """Take in more bytes."""


class _HashedFile(io.RawIOBase):
    """A raw file that shows a hasher all that is read from it.

    Parameters
    ----------
    raw : FileIO
        Read from front to end only; closed with this object.
    hasher : Hasher
        Gets every byte once.
    """

    def __init__(self, raw: io.FileIO, hasher: Hasher) -> None:
        self._raw = raw
        self._hasher = hasher

    def readable(self) -> bool:
        """Tell `io` that reading is possible."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer and hash what came."""
        view = memoryview(buffer).cast("B")
        n_read = self._raw.readinto(view) or 0
        self._hasher.update(view[:n_read])
        return n_read

    def close(self) -> None:
        """Close the file below, too."""
        self._raw.close()
        super().close()


@contextmanager
def read_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what reading a structures file can raise into `InputFileError`.

    Parameters
    ----------
    path : path-like
        File that the message names.

    Raises
    ------
    InputFileError
        If the system refuses, or if compressed data are cut short or damaged.
    """
    try:
        yield
    except InputFileError:
        raise
    except OSError as error:
        if error.errno is None:
            raise _damaged(path, error) from error
        raise InputFileError(
            "file cannot be read",
            where=os.fspath(path),
            got=error.strerror,
            remedy="check the name and its permissions",
        ) from error
    except _DAMAGE as error:
        raise _damaged(path, error) from error


@contextmanager
def open_stream(path: str | os.PathLike[str], hasher: Hasher | None = None) -> Iterator[BinaryIO]:
    """Open a plain, gzip, bzip2 or xz file for reading; the first bytes tell which it is.

    Parameters
    ----------
    path : path-like
        A regular file; the name means nothing.
    hasher : Hasher, optional
        Gets the bytes of the file as they are on the disk, all of them once the stream has been
        read to its end and closed. Allows reading from front to end only.

    Yields
    ------
    binary file
        The decompressed bytes, seekable when there is no `hasher`. Seeking back in a compressed
        file starts again from the front.

    Raises
    ------
    InputFileError
        If the file cannot be opened or is not a regular file. Reading the stream raises what it
        raises; wrap it in `read_errors`.
    """
    with read_errors(path):
        raw = open(path, "rb", buffering=0)
    with raw:
        with read_errors(path):
            _check_regular(path, raw)
            head = raw.read(6)
            raw.seek(0)
        source: io.RawIOBase = raw if hasher is None else _HashedFile(raw, hasher)
        with _decompress(source, head) as stream:
            yield stream
            # Decompression may stop before padding that follows the data.
            with read_errors(path):
                while hasher is not None and source.read(_COPY_BYTES):
                    pass


@contextmanager
def spool(stream: BinaryIO, folder: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """Copy a stream that can be read only once, such as stdin, into a temporary file.

    Parameters
    ----------
    stream : binary file
        Read to its end in blocks of 1 MiB.
    folder : path-like, optional
        Where the file goes; by default where the system keeps temporary files.

    Yields
    ------
    Path
        The file, which is gone after the context.

    Raises
    ------
    InputFileError
        If there is no space or no permission.
    """
    place = os.fspath(folder) if folder is not None else tempfile.gettempdir()
    try:
        file = tempfile.NamedTemporaryFile(prefix="prcli-stdin-", dir=place)
    except OSError as error:
        raise _no_space(place, error) from error
    with file:
        try:
            shutil.copyfileobj(stream, file, _COPY_BYTES)
            file.flush()
        except OSError as error:
            raise _no_space(place, error) from error
        try:
            yield Path(file.name)
        except PrcliError as error:
            # Nobody knows the file by that name, and it is about to go.
            error.rename(file.name, "-")
            raise


def _compression(head: bytes) -> str | None:
    """Name the compression that a file starts with."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"BZh"):
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    return None


def _decompress(source: io.RawIOBase, head: bytes) -> BinaryIO:
    """Wrap a raw file in what decompresses it, or in a buffer."""
    kind = _compression(head)
    raw = cast(BinaryIO, source)
    if kind == "gzip":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
    if kind == "bzip2":
        return cast(BinaryIO, bz2.BZ2File(raw, "rb"))
    if kind == "xz":
        return cast(BinaryIO, lzma.LZMAFile(raw, "rb"))
    return cast(BinaryIO, io.BufferedReader(source, _BUFFER_BYTES))


def _check_regular(path: str | os.PathLike[str], raw: io.FileIO) -> None:
    """Refuse pipes and devices: frames are read more than once."""
    if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        raise InputFileError(
            "not a regular file",
            where=os.fspath(path),
            expected="a file that can be read again",
            remedy="pipe it to the standard input and write - as its name",
        )


def _damaged(path: str | os.PathLike[str], error: Exception) -> InputFileError:
    """Say that compressed data do not decompress."""
    return InputFileError(
        "compressed file is truncated or damaged",
        where=os.fspath(path),
        got=str(error),
        remedy="copy or compress the file again",
    )


def _no_space(place: str, error: OSError) -> InputFileError:
    """Say that the standard input cannot be kept."""
    return InputFileError(
        "standard input cannot be spooled",
        where=place,
        got=error.strerror or str(error),
        remedy="set TMPDIR to a folder with more space, or name a file",
    )
