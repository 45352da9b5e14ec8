"""The npy format: a header, then the numbers; mapped where it lies."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from math import prod
from numbers import Real
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from prcli.data.foreign import ForeignArray, Format, Opening, as_foreign
from prcli.data.plain_pickle import PlainUnpickler, load_plain, refuse_pickle
from prcli.errors import FormatError, InputFileError

MAGIC = b"\x93NUMPY"
#: A longer header is not one of a table of numbers, and costly to parse.
_LONGEST_HEADER = 1 << 16


@dataclass(frozen=True)
class NpyHeader:
    """What the header of an npy array says.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : numpy.dtype
        Type of its elements.
    by_columns : bool
        Whether the first index runs fastest (Fortran order).
    n_bytes : int
        Length of the header, magic string included.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_columns: bool
    n_bytes: int

    @property
    def n_data_bytes(self) -> int:
        """Length of the data."""
        return prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes], where: str) -> NpyHeader:
    """Read the header at the present position of `stream`.

    Raises
    ------
    InputFileError
        If the stream ends within the header.
    FormatError
        If the bytes are no npy header.
    """
    start = _read_exactly(stream, 8, where)
    if start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise FormatError("array has no npy header of version 1 to 3", where=where, got=repr(start))
    n_length_bytes = 2 if start[6] == 1 else 4
    length = int.from_bytes(_read_exactly(stream, n_length_bytes, where), "little")
    if length > _LONGEST_HEADER:
        raise FormatError("npy header is too long", where=where, got=f"{length} bytes")
    encoding = "utf-8" if start[6] == 3 else "latin-1"
    text = _read_exactly(stream, length, where).decode(encoding, errors="replace")
    shape, dtype, by_columns = _parse_header(text, where)
    return NpyHeader(shape, dtype, by_columns, 8 + n_length_bytes + length)


def map_array(
    path: Path, header: NpyHeader, offset: int, n_available: int, where: str
) -> NDArray[Any]:
    """Map the array whose header starts at byte `offset` of the file.

    Raises
    ------
    InputFileError
        If fewer than the announced bytes are there (`n_available`, header included).
    """
    n_missing = header.n_bytes + header.n_data_bytes - n_available
    if n_missing > 0:
        raise InputFileError(
            "array is truncated",
            where=where,
            expected=f"{header.n_data_bytes} bytes for shape {header.shape} of {header.dtype}",
            got=f"{n_missing} bytes fewer",
            remedy="copy or write the file again",
        )
    if header.n_data_bytes == 0:  # nothing that could be mapped
        return np.empty(header.shape, header.dtype)
    return np.memmap(
        path,
        dtype=header.dtype,
        mode="r",
        offset=offset + header.n_bytes,
        shape=header.shape,
        order="F" if header.by_columns else "C",
    )


def unpickle_rows(
    stream: IO[bytes], header: NpyHeader, opening: Opening, where: str
) -> NDArray[Any]:
    """Return an array of Python objects as numbers, if unpickling was allowed.

    The stream stands at the end of the header.

    Raises
    ------
    FormatError
        If unpickling was not allowed, or the objects are not vectors of one length.
    InputFileError
        If the pickle is damaged, or holds other objects than arrays, numbers and text.
    """
    if not opening.allow_pickle:
        raise refuse_pickle(f"object array of shape {header.shape}", where)
    return _stack_vectors(_unpickle(stream, header, where), where)


def read_objects(path: Path, *, allow_pickle: bool) -> NDArray[np.object_] | None:
    """Read all of an npy array of Python objects; None if it is one of numbers, or no npy file.

    Raises
    ------
    FormatError
        If unpickling was not allowed.
    InputFileError
        If the pickle is damaged, or holds other objects than arrays, numbers and text.
    """
    where = str(path)
    with path.open("rb") as file:
        is_npy = file.read(len(MAGIC)) == MAGIC
        file.seek(0)
        header = read_header(file, where) if is_npy else None
        if header is None or not header.dtype.hasobject:
            return None
        if not allow_pickle:
            raise refuse_pickle(f"object array of shape {header.shape}", where)
        return _unpickle(file, header, where)


def _unpickle(stream: IO[bytes], header: NpyHeader, where: str) -> NDArray[np.object_]:
    """Restore the objects behind a header."""
    content = load_plain(PlainUnpickler(stream), where)
    objects = np.empty(prod(header.shape), dtype=object)
    if not isinstance(content, np.ndarray) or content.size != objects.size:
        raise InputFileError(
            "pickled objects cannot be read",
            where=where,
            expected=f"an array of shape {header.shape}",
            got=type(content).__name__,
        )
    objects[:] = content.ravel()
    return objects.reshape(header.shape)


def _stack_vectors(objects: NDArray[Any], where: str) -> NDArray[Any]:
    """Stack an array of equally long vectors into rows."""
    items = list(objects.flat)
    shapes = {np.shape(item) for item in items if isinstance(item, np.ndarray | list)}
    are_vectors = all(isinstance(item, np.ndarray | list) for item in items) and len(shapes) == 1
    if not (are_vectors or all(isinstance(item, Real) for item in items)):
        kinds = ", ".join(sorted({type(item).__name__ for item in items}))
        by_element = kinds == "dict"
        raise FormatError(
            "pickled objects are not feature vectors of one length",
            where=where,
            expected="an array of equally long vectors",
            got=f"{objects.size} objects of type {kinds}, of {len(shapes)} different shapes",
            remedy="dictionaries by element, which mace_finetuning_select writes: --from mace"
            if by_element
            else "save the features as an array of numbers, one row per structure or atom",
        )
    return np.array(objects.tolist())


def _parse_header(text: str, where: str) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Parse the dictionary literal of an npy header."""
    try:
        fields = ast.literal_eval(text.strip())
        shape = tuple(int(length) for length in fields["shape"])
        dtype = np.lib.format.descr_to_dtype(fields["descr"])
        by_columns = bool(fields["fortran_order"])
    except (ValueError, SyntaxError, TypeError, KeyError) as error:
        raise FormatError("npy header cannot be understood", where=where, got=text[:200]) from error
    if any(length < 0 for length in shape):
        raise FormatError("npy header has a negative length", where=where, got=f"shape {shape}")
    return shape, dtype, by_columns


def _read_exactly(stream: IO[bytes], n_bytes: int, where: str) -> bytes:
    """Read that many bytes, or say that the file is truncated."""
    found = stream.read(n_bytes)
    if len(found) < n_bytes:
        raise InputFileError("array is truncated", where=where, got="the end of the npy header")
    return found


def _recognises(path: Path, head: bytes) -> bool:
    """Tell an npy file by its magic string."""
    return head.startswith(MAGIC)


def _open(opening: Opening) -> ForeignArray:
    """Open an npy file."""
    where = str(opening.path)
    if opening.array is not None:
        raise FormatError(
            "npy file holds one array without a name",
            where=where,
            got=f"a request for array {opening.array!r}",
            remedy="leave out --array",
        )
    with opening.path.open("rb") as file:
        header = read_header(file, where)
        if header.dtype.hasobject:
            rows = unpickle_rows(file, header, opening, where)
            notes = ("unpickled from Python objects",)
            return as_foreign(rows, where, notes, opening.components)
    size = opening.path.stat().st_size
    mapped = map_array(opening.path, header, 0, size, where)
    return as_foreign(mapped, where, components=opening.components)


FORMAT = Format("npy", _recognises, _open)
