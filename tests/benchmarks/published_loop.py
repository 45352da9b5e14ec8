"""The selection as it was published: a matrix of its own for each candidate at each pick."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve


class PublishedLoop:
    """Mean rigidity after adding a candidate, from H inverted anew.

    Parameters
    ----------
    train, targets, pool : ndarray of shape (S, D), (T, D), (C, D)
    regularizer : float
    """

    def __init__(
        self, train: np.ndarray, targets: np.ndarray, pool: np.ndarray, regularizer: float
    ) -> None:
        self._hessian = train.T @ train + regularizer * np.eye(train.shape[1])
        self._targets = targets
        self._pool = pool

    def _with(self, c: int) -> np.ndarray:
        return self._hessian + np.outer(self._pool[c], self._pool[c])

    def loop(self, c: int) -> float:
        """As published: an inverse, then a quadratic form for each target."""
        inverse = np.linalg.inv(self._with(c))
        return float(np.mean([1.0 / (g @ inverse @ g) for g in self._targets]))

    def inverse(self, c: int) -> float:
        """An inverse, and matrix products for all targets."""
        products = self._targets @ np.linalg.inv(self._with(c))
        return float(np.mean(1.0 / np.einsum("ij,ij->i", products, self._targets)))

    def cholesky(self, c: int) -> float:
        """A Cholesky factorization, and one solve for all targets."""
        factor = cho_factor(self._with(c), overwrite_a=True, check_finite=False)
        solved = cho_solve(factor, self._targets.T, check_finite=False)
        return float(np.mean(1.0 / np.einsum("ij,ji->i", self._targets, solved)))

    def select(self, n_picks: int) -> list[int]:
        """Pick by the published loop."""
        left = list(range(len(self._pool)))
        picks = []
        for _ in range(n_picks):
            best = max(left, key=self.loop)
            self._hessian = self._with(best)
            left.remove(best)
            picks.append(best)
        return picks
