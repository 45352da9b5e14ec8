"""Where rows come from when there may be too many of them for memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class RowSource(Protocol):
    """Rows of a design matrix, shape (n_rows, n_columns), read in blocks as often as needed."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        ...

    @property
    def n_columns(self) -> int:
        """Width of a row."""
        ...

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield (index of the first row, rows), float64, free to be overwritten."""
        ...

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> FloatArray:
        """Return some rows, shape (len(indices), n_columns), in the order given."""
        ...


class ArrayRows:
    """Rows that lie in memory.

    Parameters
    ----------
    rows : ndarray of shape (M, D)
    block_rows : int
        Rows that one block holds.
    """

    def __init__(self, rows: NDArray[np.floating], block_rows: int = 8192) -> None:
        self._rows = rows
        self._block_rows = block_rows

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self._rows.shape[0])

    @property
    def n_columns(self) -> int:
        """Width of a row."""
        return int(self._rows.shape[1])

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield copies of runs of rows."""
        for start in range(0, self.n_rows, self._block_rows):
            yield start, np.array(self._rows[start : start + self._block_rows], dtype=np.float64)

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> FloatArray:
        """Return copies of some rows."""
        return np.array(self._rows[np.asarray(indices, dtype=np.intp)], dtype=np.float64)


class WrappedRows:
    """Rows of another source, for what watches or changes them on their way; see `RowSource`.

    Parameters
    ----------
    rows : RowSource
    """

    def __init__(self, rows: RowSource) -> None:
        self._rows = rows

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self._rows.n_rows

    @property
    def n_columns(self) -> int:
        """Width of a row."""
        return self._rows.n_columns

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield (index of the first row, rows)."""
        yield from self._rows.blocks()

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> FloatArray:
        """Return some rows, in the order given."""
        return self._rows.take(indices)
