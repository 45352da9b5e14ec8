"""Farthest-point sampling: each pick is the candidate farthest from its nearest chosen one.

A pick costs one product of the pool with the row chosen last, as |x − p|² = |x|² + |p|² − 2 x·p.
What rounding can have done to that is known; candidates that it may have put in the wrong order
are compared by differences of rows, squared and summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.overflow import refuse_candidate
from prcli.numerics.passes import BLOCK_CANDIDATES, best_project, lengths_of
from prcli.numerics.pool_coordinates import PoolCoordinates, make_coordinates
from prcli.numerics.rigidity import squared_norms
from prcli.numerics.row_source import RowSource, WrappedRows
from prcli.records import Precision

FloatArray = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)

#: Rows chosen before that are multiplied with the pool together.
_TOGETHER = 32

#: Rows that are compared with care at once, in float64 values.
_BATCH_ELEMENTS = 1 << 20

#: Share of the pool from which reading all of it is faster than picking rows.
_LARGE_SHARE = 1 / 16


def farthest_point_order(
    pool: RowSource,
    allowed: NDArray[np.bool_],
    n_to_select: int,
    precision: Precision = "float64",
) -> NDArray[np.intp]:
    """Positions of farthest points among allowed ones, as `FarthestOrder` proposes them.

    Parameters
    ----------
    pool : RowSource
        Scaled rows.
    allowed : ndarray of bool of shape (C,)
    n_to_select : int
    precision : {"float64", "float32", "none"}
        As for `FarthestOrder`.

    Returns
    -------
    order : ndarray of shape (n_to_select,)
    """
    points = FarthestOrder(pool, allowed, precision=precision, n_to_select=n_to_select)
    closed = ~allowed
    order = np.empty(n_to_select, dtype=np.intp)
    for step in range(n_to_select):
        order[step] = points.first(closed)
        closed[order[step]] = True
        points.accept(int(order[step]))
    return order


class FarthestOrder:
    """Farthest-point sampling in the space of scaled features; see `baselines.Order`.

    The first point is the one farthest from the mean of the allowed ones, so that nothing
    is left to chance; each next one is farthest from its nearest chosen neighbour
    (Cersonsky2021). Of equally far ones the lowest position wins.

    Parameters
    ----------
    pool : RowSource
        Scaled rows.
    allowed : ndarray of bool of shape (C,)
    chosen : iterable of int
        Positions of points that are chosen already.
    precision : {"float64", "float32", "none"}
        How the rows are kept; "none": the pool is read at every pick. It changes no pick.
    n_to_select : int
        Picks that will be asked for, to plan the work.

    Raises
    ------
    FeatureError
        If the square of a row overflows.
    """

    def __init__(
        self,
        pool: RowSource,
        allowed: NDArray[np.bool_],
        chosen: Iterable[int] = (),
        precision: Precision = "float64",
        n_to_select: int = 1,
    ) -> None:
        self._pool = pool
        self._unseen = list(chosen)
        self._chosen: list[FloatArray] = []
        # Squared distances from the nearest chosen point: of all, to rounding, and with care, of
        # some and of so many chosen points.
        self._nearest = np.full(pool.n_rows, np.inf)
        self._careful = np.full(pool.n_rows, np.inf)
        self._n_careful = np.zeros(pool.n_rows, dtype=np.int32)
        self._norms = np.empty(pool.n_rows)
        self._largest = 0.0
        self._keep(allowed, precision, n_to_select)

    def _keep(self, allowed: NDArray[np.bool_], precision: Precision, n_to_select: int) -> None:
        """Read the pool, keep its rows, and find their mean."""
        pool = self._pool
        total = np.zeros(pool.n_columns)
        project = best_project(pool.n_rows * pool.n_columns, n_to_select, precision)
        for start, rows in pool.blocks():
            if not start:
                # Rows from near their middle are short, and short rows lose few digits.
                self._centre = rows.mean(axis=0)
                centred = CentredRows(pool, self._centre)
                self._points: PoolCoordinates = make_coordinates(centred, precision, project)
                self._points.start(np.eye(pool.n_columns, order="F"))
            rows -= self._centre
            here = slice(start, start + len(rows))
            counts = allowed[here]
            total += (rows if counts.all() else rows[counts]).sum(axis=0)
            with np.errstate(over="ignore"):
                norms = squared_norms(rows)
            if not np.isfinite(norms).all():
                # The middle of the first rows may itself be far off because of one of them.
                refuse_candidate(start + int(np.argmax(np.abs(rows).max(axis=1))))
            self._norms[here] = norms
            self._points.put(start, rows, lengths_of(norms))
        # Relative to the centre.
        self._mean = total / np.count_nonzero(allowed)
        # The product, the norms, their sum, the difference that the rows are, as they are kept.
        self._error = 2.0 * (pool.n_columns + 8) * _EPSILON + 2.0 * self._points.rounding

    def first(self, closed: NDArray[np.bool_]) -> int:
        """Position of the farthest point that is open."""
        self._see_chosen()
        near = self._nearest
        if not self._chosen:
            near = near.copy()
            self._see(self._mean[np.newaxis], near)
        error = self._error * (self._norms + self._largest)
        least = near - error
        np.putmask(least, closed, -np.inf)
        reached = near + error >= least.max(initial=-np.inf)
        reached &= ~closed
        members = np.flatnonzero(reached)
        if not members.size:
            raise ValueError("no candidate is open")
        if members.size > 1:
            members = members[[np.argmax(self._compare(members))]]
        return int(members[0])

    def accept(self, index: int) -> None:
        """Learn of a pick; distances from it are computed when they are needed."""
        self._unseen.append(index)

    def _see_chosen(self) -> None:
        """Let the nearest distances know of the points chosen since they were computed."""
        for start in range(0, len(self._unseen), _TOGETHER):
            rows = self._pool.take(self._unseen[start : start + _TOGETHER])
            self._chosen.extend(rows)
            self._see(rows - self._centre, self._nearest)
        self._unseen.clear()

    def _see(self, references: FloatArray, nearest: FloatArray) -> None:
        """Lower squared distances (C,) to those from rows (m, D), relative to the centre."""
        norms = squared_norms(references)
        self._largest = max(self._largest, float(norms.max()))
        directions = np.ascontiguousarray(references.T)
        for part, [products] in self._points.products([directions], BLOCK_CANDIDATES):
            gaps = norms - 2.0 * products
            np.minimum(nearest[part], gaps.min(axis=1) + self._norms[part], out=nearest[part])

    def _compare(self, members: NDArray[np.intp]) -> FloatArray:
        """Squared distances of some candidates (n,) from the nearest chosen point, with care."""
        if not self._chosen:
            found = np.empty(len(members))
            for here, rows in self._rows_of(members):
                found[here] = squared_norms(rows - self._centre - self._mean)
            return found
        for here, rows in self._rows_of(members):
            these = members[here]
            nearest = self._careful[these]
            for chosen in self._chosen[self._n_careful[these].min() :]:
                np.minimum(nearest, squared_norms(rows - chosen), out=nearest)
            self._careful[these] = nearest
            self._n_careful[these] = len(self._chosen)
        return self._careful[members]

    def _rows_of(self, members: NDArray[np.intp]) -> Iterator[tuple[slice, FloatArray]]:
        """Rows of candidates in ascending order, in pieces of bounded memory."""
        if len(members) > _LARGE_SHARE * self._pool.n_rows:
            for start, rows in self._pool.blocks():
                first, last = np.searchsorted(members, [start, start + len(rows)]).tolist()
                if first < last:
                    yield slice(first, last), rows[members[first:last] - start]
            return
        height = max(1, _BATCH_ELEMENTS // max(1, self._pool.n_columns))
        for first in range(0, len(members), height):
            here = slice(first, min(first + height, len(members)))
            yield here, self._pool.take(members[here])


class CentredRows(WrappedRows):
    """Rows relative to a point; see `RowSource`.

    Parameters
    ----------
    rows : RowSource
    centre : ndarray of shape (D,)
    """

    def __init__(self, rows: RowSource, centre: FloatArray) -> None:
        super().__init__(rows)
        self._centre = centre

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield (index of the first row, rows)."""
        for start, rows in super().blocks():
            rows -= self._centre
            yield start, rows

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> FloatArray:
        """Return some rows, in the order given."""
        rows = super().take(indices)
        rows -= self._centre
        return rows
