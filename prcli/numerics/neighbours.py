"""Candidates that lie near others in the space of features, found without all distances.

Two points are at least as far apart as their coordinates along any axis. Sorted along the axis of
largest variance, only those in a window have to be looked at; where windows are wide, the pool is
read in order instead. Distances are differences of rows, squared and summed: no expansion that
would cancel between near duplicates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.rigidity import squared_norms
from prcli.numerics.row_source import RowSource

FloatArray = NDArray[np.float64]

#: Windows that hold a larger share of the pool are not worth single reads.
WIDEST_WINDOW = 1 / 64

#: Rows of a window that are read at a time.
_ROWS_AT_A_TIME = 1024

#: Numbers that the rows to which others may be near hold at once.
_REFERENCE_ELEMENTS = 1 << 20


class Neighbours:
    """Finds the candidates near given ones.

    Parameters
    ----------
    pool : RowSource
        What describes the candidates, one row each.
    n_columns : int
        Leading columns that count; intercepts behind them do not.
    """

    def __init__(self, pool: RowSource, n_columns: int) -> None:
        self._pool = pool
        self._n_columns = n_columns
        self._axis = _widest_axis(pool, n_columns)
        values = np.empty(pool.n_rows)
        for start, rows in pool.blocks():
            values[start : start + len(rows)] = rows[:, self._axis]
        self._order = np.argsort(values, kind="stable")
        self._values = values[self._order]

    def within(self, indices: NDArray[np.integer], radius: float) -> NDArray[np.intp]:
        """Find the candidates that are no farther than `radius` from any of some others.

        Parameters
        ----------
        indices : ndarray of shape (m,)
        radius : float
            In the unit of the features.

        Returns
        -------
        near : ndarray of int
            Positions in ascending order, those of `indices` among them.
        """
        near = np.zeros(self._pool.n_rows, dtype=bool)
        near[indices] = True
        at_once = max(1, _REFERENCE_ELEMENTS // max(1, self._pool.n_columns))
        for start in range(0, len(indices), at_once):
            self._mark(np.asarray(indices[start : start + at_once], dtype=np.intp), radius, near)
        return np.flatnonzero(near)

    def _mark(self, indices: NDArray[np.intp], radius: float, near: NDArray[np.bool_]) -> None:
        """Mark what is near to some candidates in `near`, shape (C,)."""
        references = self._pool.take(indices)[:, : self._n_columns]
        windows = [self._window(row, radius) for row in references]
        if sum(len(window) for window in windows) > WIDEST_WINDOW * self._pool.n_rows:
            for start, rows in self._pool.blocks():
                here = near[start : start + len(rows)]
                for reference in references:
                    here |= self._are_near(rows, reference, radius)
        else:
            for window, reference in zip(windows, references, strict=True):
                for start in range(0, len(window), _ROWS_AT_A_TIME):
                    part = window[start : start + _ROWS_AT_A_TIME]
                    near[part] |= self._are_near(self._pool.take(part), reference, radius)

    def group(self, index: int, radius: float) -> NDArray[np.intp]:
        """Find all that steps of at most `radius` from candidate to candidate lead to.

        Returns
        -------
        members : ndarray of int
            Positions in ascending order, `index` among them.
        """
        members = np.zeros(self._pool.n_rows, dtype=bool)
        members[index] = True
        newest = np.array([index])
        while newest.size:
            near = self.within(newest, radius)
            newest = near[~members[near]]
            members[newest] = True
        return np.flatnonzero(members)

    def _window(self, reference: FloatArray, radius: float) -> NDArray[np.intp]:
        """Candidates that the axis does not rule out."""
        value = float(reference[self._axis])
        # Squares of differences are rounded where values along the axis are not.
        reach = radius * (1.0 + 1e-12)
        first = np.searchsorted(self._values, value - reach, side="left")
        last = np.searchsorted(self._values, value + reach, side="right")
        return self._order[first:last]

    def _are_near(
        self, rows: FloatArray, reference: FloatArray, radius: float
    ) -> NDArray[np.bool_]:
        difference = rows[:, : self._n_columns] - reference
        near: NDArray[np.bool_] = squared_norms(difference) <= radius * radius
        return near


def _widest_axis(pool: RowSource, n_columns: int) -> int:
    """Column of largest variance."""
    # Taken from the first row, so that a large common mean does not cancel.
    origin = pool.take([0])[0, :n_columns]
    sums, squares = np.zeros(n_columns), np.zeros(n_columns)
    for _, rows in pool.blocks():
        shifted = rows[:, :n_columns] - origin
        sums += shifted.sum(axis=0)
        squares += np.einsum("ij,ij->j", shifted, shifted)
    return int(np.argmax(squares - sums * sums / pool.n_rows))
