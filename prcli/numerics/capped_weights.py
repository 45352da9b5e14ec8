"""Weights between 0 and 1 of limited sum or cost, and the maximum of a concave function of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Takes weights, shape (m,); gives the value of a concave function and its slopes, shape (m,).
Evaluate = Callable[[FloatArray], tuple[float, FloatArray]]

#: Steps of `maximize` at most.
_MOST_STEPS = 400

#: Values that a step may fall behind, so that it need not be short.
_MEMORY = 10

#: Share of the promised rise that a step has to make.
_SUFFICIENT = 1e-4


@dataclass(frozen=True, eq=False)
class Capacity:
    """How much may be taken in all: 0 ≤ w ≤ 1 with Σ p w ≤ total.

    Attributes
    ----------
    prices : ndarray of shape (C,)
        Positive.
    total : float
        Positive.
    """

    prices: FloatArray
    total: float

    def of(self, members: NDArray[np.integer]) -> Capacity:
        """Give the same for some candidates only."""
        return Capacity(self.prices[members], self.total)

    def fill(self, slopes: FloatArray) -> tuple[NDArray[np.intp], float]:
        """Maximize Σ s w.

        Parameters
        ----------
        slopes : ndarray of shape (C,)

        Returns
        -------
        filled : ndarray of int
            Candidates of a weight above 0, the last of them perhaps below 1.
        value : float
        """
        worth = np.flatnonzero(slopes > 0.0)
        order = worth[np.argsort(-slopes[worth] / self.prices[worth], kind="stable")]
        paid = np.cumsum(self.prices[order])
        n_whole = int(np.searchsorted(paid, self.total, side="right"))
        value = float(slopes[order[:n_whole]].sum())
        if n_whole < len(order):
            rest = self.total - (paid[n_whole - 1] if n_whole else 0.0)
            last = order[n_whole]
            value += float(slopes[last] * rest / self.prices[last])
            n_whole += rest > 0.0
        return order[:n_whole], value

    def project(self, values: FloatArray) -> FloatArray:
        """Give the nearest weights, shape (C,), to any values."""
        weights = np.clip(values, 0.0, 1.0)
        if weights @ self.prices <= self.total:
            return weights
        low, high = 0.0, float(np.max(values / self.prices))
        # Halving reaches the last digit, and the sum stays below the total.
        for _ in range(100):
            middle = 0.5 * (low + high)
            weights = np.clip(values - middle * self.prices, 0.0, 1.0)
            if weights @ self.prices > self.total:
                low = middle
            else:
                high = middle
        return np.clip(values - high * self.prices, 0.0, 1.0)


def maximize(
    evaluate: Evaluate, capacity: Capacity, weights: FloatArray, tolerance: float
) -> FloatArray:
    """Maximize a concave function by spectral projected gradients.

    Parameters
    ----------
    evaluate : callable
    capacity : Capacity
        Of m candidates.
    weights : ndarray of shape (m,)
        To start from.
    tolerance : float
        How far below the maximum the value may be; what it is at most follows from the slopes.

    Returns
    -------
    weights : ndarray of shape (m,)
    """
    weights = capacity.project(weights)
    value, slopes = evaluate(weights)
    values = [value]
    best = (value, weights)
    step = 1.0 / max(float(np.abs(slopes).max(initial=0.0)), np.finfo(np.float64).tiny)
    for _ in range(_MOST_STEPS):
        if capacity.fill(slopes)[1] - slopes @ weights <= tolerance:
            break
        direction = capacity.project(weights + step * slopes) - weights
        promised = float(slopes @ direction)
        if promised <= 0.0:
            break
        length = 1.0
        while True:
            moved = weights + length * direction
            value, new_slopes = evaluate(moved)
            if value >= min(values[-_MEMORY:]) + _SUFFICIENT * length * promised:
                break
            length *= 0.5
            if length < 1e-8:
                return best[1]
        change, bend = moved - weights, slopes - new_slopes
        curvature = float(change @ bend)
        step = float(change @ change) / curvature if curvature > 0.0 else 10.0 * step
        weights, slopes = moved, new_slopes
        values.append(value)
        best = max(best, (value, weights), key=lambda pair: pair[0])
    return best[1]
