"""How much a ranking changes: rank correlation, and overlap of its heads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def spearman(one: FloatArray, other: FloatArray) -> float:
    """Rank correlation of two sets of values, equal ones sharing their mean rank.

    Parameters
    ----------
    one, other : ndarray of shape (n,)
        Infinite values are allowed, nan is not.

    Returns
    -------
    correlation : float
        Between −1 and 1; nan where a set has no two different values.
    """
    a, b = _centred_ranks(one), _centred_ranks(other)
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0.0 else float("nan")


def top_overlap(one: FloatArray, other: FloatArray, n_top: int) -> float:
    """Fraction of the lowest values of one set that are among the lowest of the other.

    Parameters
    ----------
    one, other : ndarray of shape (n,)
    n_top : int
        How many; of equal values the first ones count. All are taken where there are fewer.

    Returns
    -------
    overlap : float
        Between 0 and 1; nan of empty sets.
    """
    n_top = min(n_top, len(one))
    if n_top == 0:
        return float("nan")
    head, other_head = (np.argsort(values, kind="stable")[:n_top] for values in (one, other))
    return len(np.intersect1d(head, other_head, assume_unique=True)) / n_top


def _centred_ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1 on, minus their mean."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - 0.5 * (counts - 1))[which]
    centred: FloatArray = ranks - 0.5 * (len(values) + 1)
    return centred
