"""What kind of file a file is, told from its content.

Only of what has no mark of ours, and none that we know, does ASE tell the format of structures,
which may take the name for it: a POSCAR has nothing else.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Literal, TypeAlias

import h5py

from prcli.data import hessian_file, store_schema
from prcli.data.checkpoint import is_checkpoint_head
from prcli.data.hdf5_file import open_hdf5, reading, text_attribute
from prcli.data.publish import RESULT_MARKER
from prcli.data.structure_formats import is_structure_file
from prcli.errors import InputFileError

FileKind: TypeAlias = Literal[
    "store",
    "hessian",
    "hdf5",
    "extxyz",
    "structures",
    "npy",
    "npz",
    "mts",
    "zip",
    "table",
    "result",
    "checkpoint",
    "unknown",
]

_HDF5_FORMATS: dict[str, FileKind] = {
    store_schema.FORMAT: "store",
    hessian_file.FORMAT: "hessian",
}
_HEAD_BYTES = 4096


def file_kind(path: str | os.PathLike[str]) -> FileKind:
    """Tell what a file is.

    Parameters
    ----------
    path : path-like
        A file, or a result directory.

    Returns
    -------
    str
        "store", "hessian" or another "hdf5"; "npy", "npz", "mts" or another "zip"; "extxyz",
        plain or packed by gzip, bzip2 or xz, if the first line is a number of atoms;
        "structures" for other formats of structures that can be read; "table"
        if it is a header with a column ``index``, between tabs; "result" for a directory with
        ``report.json``; "checkpoint" of a selection; else "unknown".

    Raises
    ------
    InputFileError
        If the file is missing, not readable, empty, truncated within its first bytes, or
        neither a regular file nor a result.
    """
    head = _read_head(path)
    if head is None:
        return "result"
    if h5py.is_hdf5(os.fspath(path)) or head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf5_kind(path)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(path)
    kind = _text_kind(_unpacked_head(path, head))
    return "structures" if kind == "unknown" and is_structure_file(path) else kind


def _read_head(path: str | os.PathLike[str]) -> bytes | None:
    """Read the first bytes of a file; None if it is a result directory."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode) and Path(path, RESULT_MARKER).is_file():
            return None
        if not stat.S_ISREG(mode):
            raise InputFileError(
                "not a regular file",
                where=str(path),
                got="a directory" if stat.S_ISDIR(mode) else "a pipe or device",
                remedy="give a file; - reads extxyz from standard input",
            )
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except InputFileError:
        raise
    except OSError as error:
        raise InputFileError(
            "file cannot be read",
            where=str(path),
            got=error.strerror or str(error),
            remedy="check the name and its permissions",
        ) from error
    if not head:
        raise InputFileError("file is empty", where=str(path))
    return head


def _hdf5_kind(path: str | os.PathLike[str]) -> FileKind:
    """Tell our HDF5 files from others by the attribute ``format``."""
    with open_hdf5(path) as file, reading(path):
        value = file.attrs.get("format")
        text = text_attribute(file, path, "format") if isinstance(value, str | bytes) else None
    return _HDF5_FORMATS.get(text or "", "hdf5")


def _zip_kind(path: str | os.PathLike[str]) -> FileKind:
    """Tell metatensor files and npz archives from other archives by the names in them."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise InputFileError(
            "zip archive (npz, mts, ...) is truncated or damaged",
            where=str(path),
            got=str(error),
            remedy="copy or write the file again",
        ) from error
    if "keys.npy" in names and any(name.startswith("blocks/") for name in names):
        return "mts"
    return "npz" if names and all(name.endswith(".npy") for name in names) else "zip"


def _unpacked_head(path: str | os.PathLike[str], head: bytes) -> bytes:
    """Undo gzip, bzip2 or xz for the first bytes."""
    file: gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile
    try:
        if head.startswith(b"\x1f\x8b"):
            file = gzip.GzipFile(path)
        elif head.startswith(b"BZh"):
            file = bz2.BZ2File(path)
        elif head.startswith(b"\xfd7zXZ\x00"):
            file = lzma.LZMAFile(path)
        else:
            return head
        with file:
            return file.read(_HEAD_BYTES)
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise InputFileError(
            "packed file is truncated or damaged",
            where=str(path),
            got=str(error),
            remedy="copy or write the file again",
        ) from error


def _text_kind(head: bytes) -> FileKind:
    """Tell extxyz, our tables and our checkpoints by their first line."""
    line, _, _ = head.partition(b"\n")
    if is_checkpoint_head(line):
        return "checkpoint"
    if line.strip().isdigit():
        return "extxyz"
    if b"index" in line.rstrip(b"\r").split(b"\t"):
        return "table"
    return "unknown"
