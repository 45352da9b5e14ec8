"""Where the whitened rows of a pool are while picks are made: in memory, or nowhere.

With the direction w of a pick, a candidate of coordinates z = g R⁻¹ needs r = z · w only, and
that is g · (R⁻¹ w) as well: a pool that no memory holds is read again, and its rows are
multiplied by a few vectors as they come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dtrsm

from prcli.numerics.passes import CAST_ELEMENTS, FEW_DIRECTIONS, Project, Shares
from prcli.numerics.row_source import RowSource
from prcli.records import Precision

FloatArray = NDArray[np.float64]
Products = Iterator[tuple[slice, list[FloatArray]]]

#: Relative error of a number rounded to float32.
SINGLE = 2.0**-24


class PoolCoordinates(Protocol):
    """Whitened rows of all candidates."""

    amplification: float
    """What rounding is amplified by, in units of the condition number of the factor."""

    rounding: float
    """Relative error of a row as it is kept."""

    is_held: bool
    """Whether rows are in memory."""

    def start(self, factor: FloatArray) -> None:
        """Learn what the rows to come are whitened with."""
        ...

    def put(self, first: int, rows: FloatArray, lengths: FloatArray) -> None:
        """Take whitened rows (n, D) of |row| = lengths (n,), those of zeros having length 1."""
        ...

    def rows(self, members: NDArray[np.intp]) -> FloatArray | None:
        """Whitened rows of some candidates, exact to rounding; None if they are not kept."""
        ...

    def products(self, directions: Sequence[FloatArray], height: int) -> Products:
        """Yield (part, products) of at most `height` candidates; directions are (D, m) each."""
        ...

    def products_of(self, members: NDArray[np.intp], directions: FloatArray) -> FloatArray:
        """Return products (n, m) of some candidates with directions (D, m)."""
        ...


class DoubleCoordinates:
    """Rows in memory, float64.

    Parameters
    ----------
    n_rows, n_columns : int
    project : callable
        Products of rows with a few directions; see `passes`.
    """

    # Measured against 400-bit arithmetic, a third of it would do.
    amplification = 0.1
    rounding = 0.0
    is_held = True

    def __init__(self, n_rows: int, n_columns: int, project: Project) -> None:
        self._rows: FloatArray = np.empty((n_rows, n_columns))
        self._project = project

    def start(self, factor: FloatArray) -> None:
        """Need not know."""

    def put(self, first: int, rows: FloatArray, lengths: FloatArray) -> None:
        """Keep rows."""
        self._rows[first : first + len(rows)] = rows

    def rows(self, members: NDArray[np.intp]) -> FloatArray | None:
        """Whitened rows of some candidates."""
        return self._rows[members]

    def products(self, directions: Sequence[FloatArray], height: int) -> Products:
        """Yield products with some directions."""
        for start in range(0, len(self._rows), height):
            part = slice(start, min(start + height, len(self._rows)))
            yield part, [_multiply(self._rows[part], each, self._project) for each in directions]

    def products_of(self, members: NDArray[np.intp], directions: FloatArray) -> FloatArray:
        """Products of some candidates."""
        products: FloatArray = self._rows[members] @ directions
        return products


class SingleCoordinates:
    """Rows in memory, float32, each divided by its length so that none overflows.

    Products are taken in float64: only the coordinates themselves have been rounded, and a
    product with w is wrong by 2⁻²⁴ |z| |w| at most.

    Parameters
    ----------
    n_rows, n_columns : int
    project : callable
        Products of rows with a few directions; see `passes`.
    """

    amplification = 0.1
    rounding = SINGLE
    is_held = True

    def __init__(self, n_rows: int, n_columns: int, project: Project) -> None:
        self._rows: NDArray[np.float32] = np.empty((n_rows, n_columns), dtype=np.float32)
        self._lengths: FloatArray = np.empty(n_rows)
        self._project = project

    def start(self, factor: FloatArray) -> None:
        """Need not know."""

    def put(self, first: int, rows: FloatArray, lengths: FloatArray) -> None:
        """Keep rows, rounded."""
        here = slice(first, first + len(rows))
        self._lengths[here] = lengths
        np.divide(rows, lengths[:, np.newaxis], out=self._rows[here], casting="same_kind")

    def rows(self, members: NDArray[np.intp]) -> FloatArray | None:
        """Know nothing exact."""
        return None

    def products(self, directions: Sequence[FloatArray], height: int) -> Products:
        """Yield products with some directions."""
        for start in range(0, len(self._rows), height):
            part = slice(start, min(start + height, len(self._rows)))
            lengths = self._lengths[part, np.newaxis]
            products = (_multiply(self._rows[part], each, self._project) for each in directions)
            yield part, [each * lengths for each in products]

    def products_of(self, members: NDArray[np.intp], directions: FloatArray) -> FloatArray:
        """Products of some candidates."""
        products: FloatArray = self._rows[members].astype(np.float64) @ directions
        return products * self._lengths[members, np.newaxis]


class StreamedCoordinates:
    """Rows that are read anew whenever they are needed, and never whitened but once.

    Parameters
    ----------
    pool : RowSource
    """

    # A product of a raw row with R⁻¹ w adds up terms that are larger than the result.
    amplification = 1.0
    rounding = 0.0
    is_held = False

    def __init__(self, pool: RowSource) -> None:
        self._pool = pool

    def start(self, factor: FloatArray) -> None:
        """Keep the factor: it whitens the directions in place of the rows."""
        self._factor = factor

    def put(self, first: int, rows: FloatArray, lengths: FloatArray) -> None:
        """Keep nothing."""

    def rows(self, members: NDArray[np.intp]) -> FloatArray | None:
        """Know nothing."""
        return None

    def products(self, directions: Sequence[FloatArray], height: int) -> Products:
        """Read the pool, and yield products with some directions."""
        raw = [np.ascontiguousarray(dtrsm(1.0, self._factor, each)) for each in directions]
        for first, rows in self._pool.blocks():
            for start in range(0, len(rows), height):
                stop = min(start + height, len(rows))
                yield slice(first + start, first + stop), [rows[start:stop] @ each for each in raw]

    def products_of(self, members: NDArray[np.intp], directions: FloatArray) -> FloatArray:
        """Read some candidates, and multiply them."""
        products: FloatArray = self._pool.take(members) @ dtrsm(1.0, self._factor, directions)
        return products


def _multiply(rows: Shares, directions: FloatArray, project: Project) -> FloatArray:
    """Products (n, m) of rows (n, D) in memory with directions (D, m)."""
    if directions.shape[1] <= FEW_DIRECTIONS:
        return project(rows, np.ascontiguousarray(directions.T)).T
    products = np.empty((len(rows), directions.shape[1]))
    height = max(1, CAST_ELEMENTS // max(1, rows.shape[1]))
    for start in range(0, len(rows), height):
        part = slice(start, start + height)
        np.matmul(rows[part].astype(np.float64, copy=False), directions, out=products[part])
    return products


def make_coordinates(pool: RowSource, precision: Precision, project: Project) -> PoolCoordinates:
    """Choose where the rows of a pool are kept."""
    if precision == "none":
        return StreamedCoordinates(pool)
    kind = DoubleCoordinates if precision == "float64" else SingleCoordinates
    return kind(pool.n_rows, pool.n_columns, project)
