"""The nearest of many rows, read block by block, to each of a few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.rigidity import squared_norms

FloatArray = NDArray[np.float64]

#: Products of rows that are held at once.
_PRODUCTS = 1 << 22

#: Rounding of a squared distance, relative to the squared lengths of both rows.
_NOISE = 1e-13


class NearestRows:
    """For each of n rows, the nearest among all that are shown.

    Squared distances come from one matrix product; where that cannot tell which is smaller, and
    for the one that is kept, the difference of the rows themselves decides.

    Parameters
    ----------
    rows : ndarray of shape (n, D)

    Attributes
    ----------
    index : ndarray of shape (n,)
        Number of the nearest row, the first of equally near ones; −1 while none was shown.
    distance : ndarray of shape (n,)
        Euclidean; infinite while none was shown.
    """

    def __init__(self, rows: FloatArray) -> None:
        # Rows of one kind resemble each other: about their mean fewer digits cancel.
        self._centre = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])
        self._rows = rows - self._centre
        self._squares = squared_norms(self._rows)
        self.index = np.full(len(rows), -1, dtype=np.int64)
        self.distance: FloatArray = np.full(len(rows), np.inf)

    def show(self, start: int, rows: FloatArray) -> None:
        """Look at rows of shape (m, D), numbered from `start`."""
        others = rows - self._centre
        squares = squared_norms(others)
        step = max(1, _PRODUCTS // max(1, len(others)))
        for first in range(0, len(self._rows), step):
            part = slice(first, first + step)
            own = self._squares[part, np.newaxis]
            estimate = own + squares - 2.0 * (self._rows[part] @ others.T)
            noise = _NOISE * (own + squares)
            best = np.minimum((estimate + noise).min(axis=1), self.distance[part] ** 2)
            for i, j in zip(*np.nonzero(estimate - noise <= best[:, np.newaxis]), strict=True):
                self._compare(first + int(i), start + int(j), others[j])

    def _compare(self, i: int, number: int, other: FloatArray) -> None:
        """Keep a row if it is nearer than the one before."""
        distance = float(np.linalg.norm(self._rows[i] - other))
        if distance < self.distance[i]:
            self.distance[i], self.index[i] = distance, number
