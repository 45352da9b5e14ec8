"""Rows of features, read in blocks from memory, from a mapped file, or through HDF5."""

from __future__ import annotations

import mmap
import os
from typing import Any, Protocol

import h5py
import numpy as np

from prcli.data.hdf5_file import reading
from prcli.errors import InputFileError

#: Rows that `DatasetRows.take` holds at a time, in bytes.
_TAKE_BYTES = 32 << 20


class RowArray(Protocol):
    """An (n, D) array of which blocks of rows are read; dtype is native float32 or float64."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of what is read."""
        ...

    def read(self, start: int, stop: int, step: int = 1) -> np.ndarray:
        """Read rows ``start:stop:step`` (step at least 1); a read-only view where possible."""
        ...

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Read the rows at `indices`, in their order, with repetitions, as a new array."""
        ...


class ArrayRows:
    """Rows of an array in memory or of a mapped file.

    Parameters
    ----------
    array : (n, D) array of float32 or float64
        Any byte order; kept without a copy.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._array = array.view()
        self._array.flags.writeable = False
        n_rows, n_columns = array.shape
        self.shape: tuple[int, int] = (n_rows, n_columns)
        self.dtype: np.dtype = array.dtype.newbyteorder("=")

    def read(self, start: int, stop: int, step: int = 1) -> np.ndarray:
        """Read rows ``start:stop:step``: a read-only view if bytes are native and aligned."""
        _check_range(start, stop, step, self.shape[0])
        return np.require(self._array[start:stop:step], dtype=self.dtype, requirements="A")

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Read the rows at `indices`, in their order, as a new array."""
        positions = _check_indices(indices, self.shape[0])
        rows: np.ndarray = self._array[positions].astype(self.dtype, copy=False)
        return rows


class DatasetRows:
    """Rows of an HDF5 dataset that cannot be mapped: chunked, compressed, virtual, ...

    Parameters
    ----------
    dataset : h5py.Dataset
        (n, D) of float32 or float64, any byte order. Its file must stay open.
    path : path-like
        Name for messages.
    """

    def __init__(self, dataset: Any, path: str | os.PathLike[str]) -> None:
        self._dataset = dataset
        self._path = path
        n_rows, n_columns = dataset.shape
        self.shape: tuple[int, int] = (int(n_rows), int(n_columns))
        self.dtype: np.dtype = np.dtype(dataset.dtype).newbyteorder("=")

    def read(self, start: int, stop: int, step: int = 1) -> np.ndarray:
        """Read rows ``start:stop:step`` as a new array."""
        _check_range(start, stop, step, self.shape[0])
        with reading(self._path):
            rows = np.asarray(self._dataset[start:stop:step])
        return rows.astype(self.dtype, copy=False)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Read the rows at `indices`, in their order; each part of the file is read once."""
        positions = _check_indices(indices, self.shape[0])
        rows = np.empty((len(positions), self.shape[1]), dtype=self.dtype)
        order = np.argsort(positions, kind="stable")
        ascending = positions[order]
        height = self._block_height()
        done = 0
        while done < len(ascending):
            start = int(ascending[done]) // height * height
            upto = int(np.searchsorted(ascending, start + height))
            # Only from the first to the last wanted row of the block.
            first, last = int(ascending[done]), int(ascending[upto - 1])
            block = self.read(first, last + 1)
            rows[order[done:upto]] = block[ascending[done:upto] - first]
            done = upto
        return rows

    def _block_height(self) -> int:
        """Choose rows per block: whole chunks, some megabytes."""
        fit = max(1, _TAKE_BYTES // (self.shape[1] * self.dtype.itemsize))
        chunk = self._dataset.chunks[0] if self._dataset.chunks else 1
        return int(max(chunk, fit // chunk * chunk))


def map_file(path: str | os.PathLike[str]) -> mmap.mmap:
    """Map a whole file, read-only; the map lives as long as an array on it does."""
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise InputFileError(
            "file cannot be mapped into memory", where=str(path), got=str(error)
        ) from error


def mapped_array(dataset: Any, mapped: mmap.mmap) -> np.ndarray | None:
    """View a contiguous dataset within its mapped file.

    Parameters
    ----------
    dataset : h5py.Dataset
        Any dataset of numbers.
    mapped : mmap
        Its file, as `map_file` gives it.

    Returns
    -------
    array or None
        Read-only; None if the layout cannot be mapped.
    """
    plist = dataset.id.get_create_plist()
    if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count():
        return None
    offset = dataset.id.get_offset()
    # No offset: rows that were declared and never written, which HDF5 reads as zeros.
    if offset is None or offset + dataset.nbytes > len(mapped):
        return None
    return np.ndarray(dataset.shape, dataset.dtype, buffer=mapped, offset=offset)


def mapped_rows(dataset: Any, mapped: mmap.mmap, path: str | os.PathLike[str]) -> RowArray:
    """Give the rows of an (n, D) dataset: of the mapped file if the layout allows."""
    array = mapped_array(dataset, mapped)
    return DatasetRows(dataset, path) if array is None else ArrayRows(array)


def _check_range(start: int, stop: int, step: int, n_rows: int) -> None:
    """Refuse what Python slices would silently cut or count from the end."""
    if not (0 <= start <= stop <= n_rows and step >= 1):
        raise IndexError(f"rows {start}:{stop}:{step} of {n_rows}")


def _check_indices(indices: np.ndarray, n_rows: int) -> np.ndarray:
    """Refuse positions that are not there, and negative ones."""
    positions = np.asarray(indices, dtype=np.int64)
    if positions.ndim != 1 or (
        positions.size and not (positions.min() >= 0 and positions.max() < n_rows)
    ):
        raise IndexError(f"row positions must be (n,) and within 0 to {n_rows - 1}")
    return positions
