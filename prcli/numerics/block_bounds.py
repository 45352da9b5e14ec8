"""Bounds on gains where drops of variances are known within bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Bounds = tuple[FloatArray, FloatArray]

#: Takes drops and their errors, both (C, T), the targets' v and weights, both (T,), and how far
#: v/v' can exceed 1 at most, (C,). Returns lower and upper bounds on the gains, both (C,).
GainBounds = Callable[[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray], Bounds]


def _mean_pr(
    drop: FloatArray, error: FloatArray, v: FloatArray, weights: FloatArray, excess: FloatArray
) -> Bounds:
    """Bound the mean of (v − v')/(v v')."""
    least, most, v_least, v_most = _within(drop, error, v, excess)
    return (least / v_most) @ (weights / v), (most / v_least) @ (weights / v)


def _mean_log_pr(
    drop: FloatArray, error: FloatArray, v: FloatArray, weights: FloatArray, excess: FloatArray
) -> Bounds:
    """Bound the mean of −log(v'/v)."""
    least, most, v_least, v_most = _within(drop, error, v, excess)
    return _logarithm(least, v_most, v) @ weights, _logarithm(most, v_least, v) @ weights


def _logarithm(drop: FloatArray, v_new: FloatArray, v: FloatArray) -> FloatArray:
    share = np.minimum(drop / v, 0.5)
    return np.where(share < 0.5, -np.log1p(-share), -np.log(v_new / v))


def _min_pr(
    drop: FloatArray, error: FloatArray, v: FloatArray, weights: FloatArray, excess: FloatArray
) -> Bounds:
    """Bound the smallest 1/v' minus the smallest 1/v."""
    least, most, v_least, v_most = _within(drop, error, v, excess)
    worst = float(v.max())
    lower = (worst - v + least).min(axis=1) / (worst * v_most.max(axis=1))
    return lower, (worst - v + most).min(axis=1) / (worst * v_least.max(axis=1))


def _mean_variance(
    drop: FloatArray, error: FloatArray, v: FloatArray, weights: FloatArray, excess: FloatArray
) -> Bounds:
    """Bound the sum of the drops, which carry the weights already."""
    gain, slack = drop.sum(axis=1), error.sum(axis=1)
    return np.maximum(gain - slack, 0.0), np.maximum(gain + slack, 0.0)


def _within(
    drop: FloatArray, error: FloatArray, v: FloatArray, excess: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Smallest and largest possible drops, smallest and largest possible v'."""
    left = v - drop
    v_least = np.maximum(left - error, np.multiply.outer(1.0 / (1.0 + excess), v))
    v_most = np.clip(left + error, v_least, v)
    return np.maximum(drop - error, 0.0), np.minimum(drop + error, v), v_least, v_most


#: Of the objectives of targets, by name.
BOUNDS: dict[str, GainBounds] = {
    "mean-pr": _mean_pr,
    "mean-log-pr": _mean_log_pr,
    "min-pr": _min_pr,
    "mean-variance": _mean_variance,
}
