"""Moving averages of a series that arrives piece by piece."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Numbers that windows hold which are averaged together.
_AT_A_TIME = 1 << 20


class MovingAverage:
    """Average of the last values, each sum taken anew so that no rounding builds up.

    Values that are not finite are left out.

    Parameters
    ----------
    window : int
        Values that are averaged, at least 1.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._tail = np.empty(0)

    def push(self, values: FloatArray) -> FloatArray:
        """Take the next values, shape (n,).

        Returns
        -------
        averages : ndarray of shape (n,)
            Of each value and those before it; the same however the series is cut into pieces.
            nan where there are too few, or none is finite.
        """
        series = np.concatenate([self._tail, values])
        self._tail = series[max(0, len(series) - self._window + 1) :].copy()
        averages = np.full(len(values), np.nan)
        if len(series) < self._window:
            return averages
        windows = sliding_window_view(series, self._window)
        known = averages[len(averages) - len(windows) :]
        step = max(1, _AT_A_TIME // self._window)
        for i in range(0, len(windows), step):
            known[i : i + step] = _finite_means(windows[i : i + step])
        return averages


def finite_mean(values: FloatArray) -> float:
    """Mean of the values that are finite; nan of none."""
    return float(_finite_means(values[np.newaxis])[0])


def _finite_means(windows: FloatArray) -> FloatArray:
    """Mean of the finite values of each row, shape (n,)."""
    finite = np.isfinite(windows)
    counts = np.count_nonzero(finite, axis=1)
    sums = np.where(finite, windows, 0.0).sum(axis=1)
    means = np.full(len(windows), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
