"""The npz format: a zip archive of npy arrays."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from prcli.data.foreign import ForeignArray, Format, Opening, RowIndex, as_foreign
from prcli.data.formats_npy import NpyHeader, map_array, read_header, unpickle_rows
from prcli.data.row_layout import RowLayout, check_real, type_notes
from prcli.errors import FormatError, InputFileError

_SUFFIX = ".npy"
_LOCAL_HEADER_BYTES = 30
_LISTED_AT_MOST = 20


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive, and name the file in whatever zip itself finds wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputFileError(
            "zip archive is truncated, damaged or of an unknown compression",
            where=str(path),
            got=str(error),
            remedy="copy or write the file again",
        ) from error


@dataclass(frozen=True)
class Member:
    """An npy array inside a zip archive.

    Attributes
    ----------
    path : Path
        The archive.
    info : zipfile.ZipInfo
        Entry of the archive.
    header : NpyHeader
        Header of the array.
    """

    path: Path
    info: zipfile.ZipInfo
    header: NpyHeader

    @property
    def where(self) -> str:
        """Archive and array, as messages name them."""
        return f"{self.path}, array {member_name(self.info.filename)!r}"

    @property
    def is_stored(self) -> bool:
        """Whether the bytes lie uncompressed in the archive."""
        return self.info.compress_type == zipfile.ZIP_STORED

    def map(self) -> NDArray[Any]:
        """Map the array where it lies in the archive."""
        offset = self._data_offset()
        return map_array(self.path, self.header, offset, self.info.file_size, self.where)

    def _data_offset(self) -> int:
        """Return the position in the archive of the first byte of the member.

        The central directory does not tell: names and extra fields of the local header,
        which lies before the data, may have other lengths.
        """
        with self.path.open("rb") as file:
            file.seek(self.info.header_offset)
            local = file.read(_LOCAL_HEADER_BYTES)
        n_name = int.from_bytes(local[26:28], "little")
        n_extra = int.from_bytes(local[28:30], "little")
        offset = self.info.header_offset + _LOCAL_HEADER_BYTES + n_name + n_extra
        if offset + self.info.file_size > self.path.stat().st_size:
            raise InputFileError("array is truncated", where=self.where)
        return offset


def read_member(archive: zipfile.ZipFile, path: Path, file_name: str) -> Member:
    """Read the header of one array of an archive."""
    info = archive.getinfo(file_name)
    where = f"{path}, array {member_name(file_name)!r}"
    if info.flag_bits & 1:
        raise FormatError("array is encrypted", where=where)
    with archive.open(info) as stream:
        return Member(path, info, read_header(stream, where))


def member_name(file_name: str) -> str:
    """Return the name of an array as numpy gives it."""
    return file_name.removesuffix(_SUFFIX)


@dataclass
class StreamedRows:
    """Rows of a compressed array, decompressed as they are asked for.

    Asking for rows in file order reads the file once; going back starts it again.
    """

    member: Member
    layout: RowLayout
    _archive: zipfile.ZipFile | None = field(default=None, init=False)
    _stream: IO[bytes] | None = field(default=None, init=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.layout.matrix_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers in the file."""
        return self.member.header.dtype

    def rows(self, wanted: RowIndex) -> NDArray[Any]:
        """Return a run of rows, (n, D)."""
        if not isinstance(wanted, slice):
            raise TypeError("compressed arrays are read by runs of rows")
        start, stop, _ = wanted.indices(self.shape[0])
        n_row_bytes = self.shape[1] * self.dtype.itemsize
        data = self._bytes(start * n_row_bytes, (stop - start) * n_row_bytes)
        return np.frombuffer(data, self.dtype).reshape(stop - start, self.shape[1])

    def close(self) -> None:
        """Release the archive."""
        if self._archive is not None and self._stream is not None:
            self._stream.close()
            self._archive.close()
        self._archive = self._stream = None

    def _bytes(self, start: int, n_bytes: int) -> bytes:
        """Return bytes of the data, counted from its first."""
        try:
            stream = self._opened()
            stream.seek(self.member.header.n_bytes + start)
            data = stream.read(n_bytes)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputFileError(
                "compressed array is damaged", where=self.member.where, got=str(error)
            ) from error
        if len(data) < n_bytes:
            raise InputFileError("array is truncated", where=self.member.where)
        return data

    def _opened(self) -> IO[bytes]:
        """Return the stream, opened at the first use."""
        if self._stream is None:
            self._archive = zipfile.ZipFile(self.member.path)
            self._stream = self._archive.open(self.member.info)
        return self._stream


def _recognises(path: Path, head: bytes) -> bool:
    """Tell an npz file by its archive and the names inside."""
    if not head.startswith(b"PK"):
        return False
    with open_archive(path) as archive:
        return any(name.endswith(_SUFFIX) for name in archive.namelist())


def _open(opening: Opening) -> ForeignArray:
    """Open one array of an npz file."""
    with open_archive(opening.path) as archive:
        member = _choose(archive, opening)
        if member.header.dtype.hasobject:
            with archive.open(member.info) as stream:
                stream.read(member.header.n_bytes)
                rows = unpickle_rows(stream, member.header, opening, member.where)
            notes = ("unpickled from Python objects",)
            return as_foreign(rows, member.where, notes, opening.components)
    if member.is_stored:
        return as_foreign(member.map(), member.where, components=opening.components)
    return _stream(member, opening.components)


def _stream(member: Member, components: tuple[int, ...]) -> ForeignArray:
    """Open a compressed array."""
    header, layout = member.header, RowLayout(member.header.shape, components)
    check_real(header.dtype, member.where)
    layout.check(member.where)
    if header.by_columns and layout.matrix_shape[0] > 1:
        raise FormatError(
            "compressed array is stored by columns, so its rows cannot be read one after another",
            where=member.where,
            remedy="save it with numpy.savez (uncompressed), or numpy.ascontiguousarray first",
        )
    notes = (*type_notes(header.dtype), *layout.notes, "compressed source, not mapped")
    return ForeignArray(StreamedRows(member, layout), member.where, notes)


def _choose(archive: zipfile.ZipFile, opening: Opening) -> Member:
    """Return the array that was named, or the only one."""
    names = [name for name in archive.namelist() if name.endswith(_SUFFIX)]
    if opening.array is not None:
        wanted = member_name(opening.array)
        chosen = [name for name in names if member_name(name) == wanted]
        what = "npz file has no array of this name"
    else:
        chosen = names if len(names) == 1 else []
        what = "npz file holds several arrays"
    if len(chosen) != 1:
        raise FormatError(
            what,
            where=opening.where,
            expected="the name of one array",
            got=_list_members(archive, opening.path, names),
            remedy=opening.remedy,
        )
    return read_member(archive, opening.path, chosen[0])


def _list_members(archive: zipfile.ZipFile, path: Path, names: list[str]) -> str:
    """List arrays with their shapes."""
    listed = [
        f"{member_name(name)} {read_member(archive, path, name).header.shape}"
        for name in names[:_LISTED_AT_MOST]
    ]
    return ", ".join(listed) + ", …" * (len(names) > _LISTED_AT_MOST)


def _holds(path: Path, name: str) -> bool:
    """Tell whether a file has an array of this name."""
    with open_archive(path) as archive:
        return member_name(name) + _SUFFIX in archive.NameToInfo


FORMAT = Format("npz", _recognises, _open, _holds)
