"""HDF5 as we write and read it: faults in words, plain contiguous datasets, attributes."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from prcli.data.provenance import provenance_to_json
from prcli.errors import FormatError, InputFileError, OutputError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from prcli.records import Provenance

#: Datasets of at least this many bytes start at a multiple of it, so that they can be mapped.
ALIGNMENT = 4096

#: Strings that are read together.
_STRINGS_AT_A_TIME = 1 << 16


def open_hdf5(path: str | os.PathLike[str]) -> Any:
    """Open an HDF5 file for reading.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    h5py.File
        Opened read-only.

    Raises
    ------
    InputFileError
        If the file is missing, a directory, not readable, empty or truncated.
    FormatError
        If it is not HDF5.
    """
    try:
        with open(path, "rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputFileError(
            "file cannot be read",
            where=str(path),
            got=error.strerror or str(error),
            remedy="check the name and its permissions",
        ) from error
    if empty:
        raise InputFileError("file is empty", where=str(path), expected="an HDF5 file")
    try:
        # Locks fail on many parallel file systems, and files that we publish never change.
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise _open_error(path, error) from error


def _open_error(path: str | os.PathLike[str], error: OSError) -> InputFileError | FormatError:
    """Tell a truncated file from one that never was HDF5."""
    if "signature not found" in str(error):
        return FormatError("file is not HDF5", where=str(path), expected="an HDF5 file")
    return InputFileError(
        "HDF5 file is truncated" if "truncated" in str(error) else "HDF5 file is damaged",
        where=str(path),
        got=str(error),
        remedy="copy or write the file again",
    )


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what h5py raises within the block into `InputFileError`."""
    try:
        yield
    except (FormatError, InputFileError):
        raise
    except (OSError, RuntimeError, KeyError) as error:
        raise InputFileError(
            "HDF5 file is damaged, or packed by a filter that is not installed",
            where=str(path),
            got=str(error),
            remedy="copy or write the file again, uncompressed",
        ) from error


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what h5py raises within the block into `OutputError`.

    HDF5 reports a full disk as RuntimeError when it closes a file.
    """
    try:
        yield
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:
        raise OutputError(
            "output cannot be written",
            where=str(path),
            got=_in_short(error),
            remedy="free some space or write elsewhere",
        ) from error


def _in_short(error: OSError | RuntimeError) -> str:
    """Say what the system refuses in its own words, which HDF5 buries in lines of numbers."""
    found = re.search(r"errno = (\d+)", str(error))
    return os.strerror(int(found[1])) if found else str(error)


@contextlib.contextmanager
def create_hdf5(temporary: Path, final: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a new HDF5 file for writing and close it whatever happens.

    Parameters
    ----------
    temporary : Path
        File to write.
    final : path-like
        Name for messages.

    Yields
    ------
    h5py.File
        Written in the oldest object format: every HDF5 library reads it, and it carries no
        time stamps.
    """
    with writing(final):
        file = h5py.File(
            temporary,
            "w",
            libver=("earliest", "v110"),
            locking=False,
            alignment_threshold=ALIGNMENT,
            alignment_interval=ALIGNMENT,
        )
    try:
        yield file
    except BaseException:
        # The first fault is the one to report; closing a file on a full disk raises once more.
        with contextlib.suppress(OSError, RuntimeError):
            file.close()
        raise
    with writing(final):
        file.flush()
        file.close()


def create_contiguous(group: Any, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
    """Create an uncompressed dataset of known size, its space reserved and not yet written.

    Parameters
    ----------
    group : h5py.Group
        Where to create it.
    name : str
        Name within the group.
    shape : tuple of int
        Final shape.
    dtype : dtype-like
        Type on disk.

    Returns
    -------
    h5py.Dataset
        Its place in the file does not depend on the order in which rows are filled in.
    """
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    space = h5py.h5s.create_simple(shape)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, plist))


def write_array(group: Any, name: str, values: np.ndarray) -> None:
    """Store a whole array as an uncompressed dataset."""
    dataset = create_contiguous(group, name, values.shape, values.dtype)
    if values.size:
        dataset[...] = values


def write_strings(group: Any, name: str, texts: np.ndarray | list[str]) -> None:
    """Store (n,) strings as a dataset of UTF-8 padded to the longest one."""
    # File names may hold bytes that are no UTF-8; Python carries them as surrogates.
    encoded = np.char.encode(np.asarray(texts, dtype=np.str_), "utf-8", "surrogateescape")
    dtype = h5py.string_dtype("utf-8", max(1, encoded.dtype.itemsize))
    dataset = create_contiguous(group, name, encoded.shape, dtype)
    if encoded.size:
        dataset[...] = encoded.astype(dtype)


def read_strings(dataset: Any) -> np.ndarray:
    """Read a dataset of strings of fixed or variable length as an array of str."""
    texts = dataset.asstr(errors="surrogateescape")
    if len(dataset.shape) != 1:
        return np.asarray(texts[...], dtype=np.str_)
    found = np.empty(dataset.shape, dtype="U1")
    # As objects they take several times the memory, and parts of them twice that of all.
    for start in range(0, len(found), _STRINGS_AT_A_TIME):
        part = np.asarray(texts[start : start + _STRINGS_AT_A_TIME], dtype=np.str_)
        if part.dtype.itemsize > found.dtype.itemsize:
            found = found.astype(part.dtype) if start else np.empty(found.shape, part.dtype)
        found[start : start + len(part)] = part
    return found


def write_header(file: Any, file_format: str, version: int, provenance: Provenance | None) -> None:
    """Store the attributes that all our files begin with."""
    file.attrs["format"] = file_format
    file.attrs["version"] = np.int64(version)
    if provenance is not None:
        file.attrs["provenance"] = provenance_to_json(provenance)


def check_header(file: Any, path: str | os.PathLike[str], file_format: str, version: int) -> None:
    """Refuse a file of another format or of a version that this prcli does not know.

    Raises
    ------
    FormatError
        With what the file says it is.
    """
    got = text_attribute(file, path, "format")
    if got != file_format:
        raise FormatError(
            "file is of another format",
            where=str(path),
            expected=f"HDF5 with the attribute format = {file_format}",
            got="no such attribute" if got is None else f"format = {got}",
        )
    found = number_attribute(file, path, "version")
    if found is None or found < 1 or found != int(found):
        raise FormatError(
            "file states no valid version of its format",
            where=str(path),
            expected=f"the attribute version = {version}",
            got=str(found),
        )
    if found > version:
        raise FormatError(
            f"file is of a newer version of the format {file_format}",
            where=str(path),
            expected=f"version {version} or older",
            got=f"version {int(found)}",
            remedy="install a newer prcli",
        )


def text_attribute(file: Any, path: str | os.PathLike[str], name: str) -> str | None:
    """Read a string attribute; None if it is absent."""
    value = file.attrs.get(name)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    raise FormatError(f"attribute {name} is not a string", where=str(path), got=f"{value!r}")


def number_attribute(file: Any, path: str | os.PathLike[str], name: str) -> float | None:
    """Read a numeric attribute; None if it is absent."""
    value = file.attrs.get(name)
    if value is None:
        return None
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise FormatError(f"attribute {name} is not a number", where=str(path), got=f"{value!r}")
    return float(array.ravel()[0])


def read_provenance(file: Any, path: str | os.PathLike[str]) -> dict[str, object] | None:
    """Read the provenance that a file carries; None if it has none."""
    text = text_attribute(file, path, "provenance")
    if text is None:
        return None
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError("provenance is not JSON", where=str(path), got=str(error)) from error
    if not isinstance(fields, dict):
        raise FormatError("provenance is not a JSON object", where=str(path), got=text[:60])
    return fields
