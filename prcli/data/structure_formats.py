"""Formats of structure files besides extxyz: how they are told, and what reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from prcli.data.ase_database import JsonDatabase, SqliteDatabase
from prcli.data.ase_file import AseFile
from prcli.data.ase_trajectory import TrajectoryFile
from prcli.data.lmdb_database import LmdbDatabase
from prcli.data.streams import open_stream, read_errors
from prcli.data.xdatcar import XdatcarFile
from prcli.errors import FormatError, InputFileError

if TYPE_CHECKING:
    from ase import Atoms

_HEAD_BYTES = 4096


class StructureFile(Protocol):
    """Structures of a file, by their number."""

    def count_atoms(self) -> NDArray[np.int64]:
        """Count the atoms of every structure, (S,)."""

    def structures(self, numbers: NDArray[np.int64]) -> Iterator[Atoms]:
        """Read structures in the order asked for."""

    def close(self) -> None:
        """Release the file."""


@dataclass(frozen=True)
class StructureFormat:
    """A format of structure files.

    Attributes
    ----------
    name : str
        As ASE calls it, where it does.
    title : str
        For messages.
    open : callable
        Makes a `StructureFile` of a path.
    by_name : bool
        Whether nothing but the name of the file speaks for the format.
    """

    name: str
    title: str
    open: Callable[[str], StructureFile]
    by_name: bool = False


TRAJECTORY = StructureFormat("traj", "ASE trajectory", TrajectoryFile)
SQLITE = StructureFormat("db", "ASE database (SQLite)", SqliteDatabase)
LMDB = StructureFormat("aselmdb", "ASE database (LMDB)", LmdbDatabase)

#: First byte and content of the marks that binary formats begin with.
_MARKS: tuple[tuple[int, bytes, StructureFormat], ...] = (
    (0, b"- of UlmASE-Trajectory", TRAJECTORY),
    (0, b"AFFormatASE-Trajectory", TRAJECTORY),
    (0, b"SQLite format 3\x00", SQLITE),
    (16, b"\xde\xc0\xef\xbe", LMDB),
)
#: Formats that ASE tells and that are not read by its general function.
_OWN_READERS: dict[str, Callable[[str], StructureFile]] = {
    "json": JsonDatabase,
    "vasp-xdatcar": XdatcarFile,
}
#: What ASE may take an arbitrary file for: those told above, and servers.
_NOT_FROM_ASE = frozenset(("traj", "db", "mysql", "postgresql", "bundletrajectory"))
_RENAME = (
    "convert a file of another format with `ase convert`, or give it the name that its format "
    "goes by, such as POSCAR or x.cif"
)


def find_format(path: str | os.PathLike[str]) -> StructureFormat | None:
    """Tell the format of a structure file.

    Parameters
    ----------
    path : path-like
        A regular file.

    Returns
    -------
    StructureFormat or None
        None for extxyz, plain or compressed, and for what should be extxyz by its name.

    Raises
    ------
    FormatError
        If no format is recognized.
    InputFileError
        If the file cannot be read.
    """
    if os.path.isdir(path):
        raise _folder(path)
    with open_stream(path) as stream, read_errors(path):
        head = stream.read(_HEAD_BYTES)
    if not head.strip() or head.partition(b"\n")[0].strip().isdigit():
        return None
    compressed = _is_compressed(path, head)
    for at, mark, known in _MARKS:
        if head[at:].startswith(mark):
            if compressed:
                raise _packed(path, known)
            return known
    name, title, by_name = _ask_ase(path, head)
    if name is None:
        raise _unknown(path, head)
    if name in ("extxyz", "xyz"):
        return None
    if name in _OWN_READERS and not compressed:
        return StructureFormat(name, title, _OWN_READERS[name], by_name)
    told = f"{title} (told by the name)" if by_name else title
    reader = partial(AseFile, format_name=name, title=told)
    return StructureFormat(name, title, reader, by_name)


def is_structure_file(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is of a format of structures that can be read; see `find_format`."""
    try:
        found = find_format(path)
    except FormatError:
        return False
    return found is not None


def _folder(path: str | os.PathLike[str]) -> InputFileError:
    """Say which files of a folder could have been meant; large databases come in parts."""
    with read_errors(path):
        names = sorted(os.listdir(path))
    ends = dict.fromkeys(os.path.splitext(name)[1] for name in names)
    parts = [end for end in (".aselmdb", ".traj", ".db", ".extxyz", ".xyz") if end in ends]
    return InputFileError(
        "file cannot be read",
        where=os.fspath(path),
        got="a folder",
        remedy="name the files in it: " + os.path.join(os.fspath(path), f"*{parts[0]}")
        if parts
        else "name a file",
    )


def _is_compressed(path: str | os.PathLike[str], head: bytes) -> bool:
    """Tell whether the file begins with other bytes on the disk than when decompressed."""
    with read_errors(path), open(path, "rb") as file:
        return file.read(len(head)) != head


def _ask_ase(path: str | os.PathLike[str], head: bytes) -> tuple[str | None, str, bool]:
    """Let ASE tell the format: its name and description, and whether the file's name decides."""
    from ase.io.formats import UnknownFileTypeError, filetype, get_ioformat

    try:
        with read_errors(path):
            # What begins with names of database servers would be taken for their addresses.
            name = str(filetype(os.path.abspath(path), guess=False))
        known = get_ioformat(name)
        if name in _NOT_FROM_ASE or not known.can_read:
            return None, "", False
    except UnknownFileTypeError:
        return None, "", False
    return name, str(known.description), not known.match_magic(head)


def _packed(path: str | os.PathLike[str], known: StructureFormat) -> FormatError:
    """Say that a file in which structures are found by position must not be compressed."""
    return FormatError(
        f"a compressed {known.title} cannot be read",
        where=os.fspath(path),
        expected="the file as ASE wrote it",
        remedy="decompress it first",
    )


def refuse_other_text(path: str | os.PathLike[str], found: StructureFormat) -> NoReturn:
    """Refuse a file in which the reader of the format that its name suggests finds no structure."""
    with open_stream(path) as stream, read_errors(path):
        head = stream.read(_HEAD_BYTES)
    raise FormatError(
        "not a file of structures",
        where=os.fspath(path),
        expected=f"{_known_formats()}; by its name it would be: {found.title}",
        got=f"a file that begins with {_first_line(head)!r}, and no structure in it",
        remedy=f"name the file that holds the structures; {_RENAME}",
    )


def _unknown(path: str | os.PathLike[str], head: bytes) -> FormatError:
    """Say what a file could have been."""
    return FormatError(
        "not a file of structures in a known format",
        where=os.fspath(path),
        expected=_known_formats(),
        got=f"a file that begins with {_first_line(head)!r}",
        remedy=_RENAME,
    )


def _known_formats() -> str:
    """Say what is read."""
    from ase.io.formats import ioformats

    n_formats = sum(known.name not in _NOT_FROM_ASE for known in ioformats.values())
    titles = dict.fromkeys(known.title for _, _, known in _MARKS)
    return (
        f"extxyz, which begins with a number of atoms; {', '.join(titles)}; or one of "
        f"{n_formats} formats that ASE tells by their content or name (`ase info --formats`)"
    )


def _first_line(head: bytes) -> str:
    """Begin of a file, for messages."""
    return head.lstrip().partition(b"\n")[0].rstrip(b"\r")[:40].decode("utf-8", "replace")
