"""A bound on what removals lose that are not looked at: the least of many lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class OutsideBound:
    """Least that any of the candidates outside a shortlist can lose.

    With a² = Σ W k² and q the sum of the variances of its rows when the shortlist was made, none
    loses less than (share · a − shift · √q)²; see `RemovalFrame.change`. Only candidates of which
    no other has both a smaller a and a larger q can be the least.

    Parameters
    ----------
    a_squared, q : ndarray of shape (n,)
    """

    def __init__(self, a_squared: FloatArray, q: FloatArray) -> None:
        order = np.lexsort([-q, a_squared])
        roots = np.sqrt(q[order])
        highest = np.maximum.accumulate(roots)
        front = np.ones(len(order), dtype=bool)
        front[1:] = roots[1:] > highest[:-1]
        self._a = np.sqrt(a_squared[order][front])
        self._root_q = roots[front]

    def least(self, share: float, shift: float) -> float:
        """Lower bound of the losses; infinite if no candidate is outside."""
        if not self._a.size:
            return float("inf")
        lowest = float((share * self._a - shift * self._root_q).min())
        return max(lowest, 0.0) ** 2
