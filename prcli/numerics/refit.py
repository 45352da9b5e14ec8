"""Least squares whose rows may grow: one triangle holds all that a fit must know of them.

The factor of [√c g | √c y] has R on the left and Qᵀy beside it, so that a fit needs neither the
rows again nor RᵀR; rows that are added later update it, and nothing is computed anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from prcli.numerics.square_root import SquareRoot, require_full_rank

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fit:
    """What least squares give.

    Attributes
    ----------
    weights : ndarray of shape (D,)
        For rows as they were added.
    factor : ndarray of shape (D, D), Fortran order
        Upper-triangular R with RᵀR = H, for rigidities of this very fit.
    """

    weights: FloatArray
    factor: FloatArray


class Regression:
    """Least squares of values on rows, as rows are added.

    Parameters
    ----------
    n_columns : int
        Width D of the rows.
    """

    def __init__(self, n_columns: int) -> None:
        self._root = SquareRoot(n_columns + 1)
        self._regularizer = 0.0

    @property
    def n_columns(self) -> int:
        """Width D of the rows."""
        return self._root.n_columns - 1

    def copy(self) -> Self:
        """Give the same sums once more, to be followed by other rows."""
        other = type(self)(self.n_columns)
        other._root.factor[:] = self._root.factor
        other._regularizer = self._regularizer
        return other

    def add_rows(self, rows: FloatArray, values: FloatArray) -> None:
        """Add rows and the values that the model shall have there.

        Parameters
        ----------
        rows : ndarray of shape (M, D)
            Multiplied by the square roots of their weights, as `values` are.
        values : ndarray of shape (M,)
        """
        self._root.add_rows(np.column_stack([rows, values]))

    def add_prior(self, prior_root: FloatArray, regularizer: float) -> None:
        """Add ς² |F w|², which draws weights towards zero.

        It belongs below the rows of the training set, as for rigidities: Householder reflections
        keep small rows accurate when large ones come first. Rows that follow, if they are not
        much larger, lose no digits by that, and cost D² each instead of the D³ of a prior.

        Parameters
        ----------
        prior_root : ndarray of shape (D,) or (D, D)
            F with FᵀF = P: the diagonal of F, or an upper-triangular F.
        regularizer : float
            ς², not negative.
        """
        self._regularizer = regularizer
        if regularizer > 0.0:
            full = np.diag(prior_root) if prior_root.ndim == 1 else prior_root
            self._root.merge(np.sqrt(regularizer) * np.pad(full, (0, 1)))

    def fit(self) -> Fit:
        """Minimize |G w − y|² + ς² |F w|² over the rows and the prior so far.

        Returns
        -------
        fit : Fit

        Raises
        ------
        RankError
            If rows and prior leave weights undetermined.
        """
        factor, image = self._split()
        require_full_rank(factor, self._regularizer)
        return Fit(solve_triangular(factor, image, check_finite=False), factor)

    def smallest(self) -> tuple[FloatArray, int]:
        """Give the shortest of all weights that minimize the same.

        Returns
        -------
        weights : ndarray of shape (D,)
        rank : int
            Of rows and prior; below D other weights fit as well.
        """
        factor, image = self._split()
        weights, _, rank, _ = np.linalg.lstsq(factor, image, rcond=None)
        return np.asarray(weights, dtype=np.float64), int(rank)

    def _split(self) -> tuple[FloatArray, FloatArray]:
        """Take R and Qᵀy from the triangle of [rows | values]."""
        triangle = self._root.factor
        return np.array(triangle[:-1, :-1], order="F"), triangle[:-1, -1].copy()


class ErrorSums:
    """Errors of several models on the same rows, summed as they come.

    Parameters
    ----------
    n_models : int
        K.

    Attributes
    ----------
    n_rows : int
    """

    def __init__(self, n_models: int) -> None:
        self._squares: FloatArray = np.zeros(n_models)
        self._sizes: FloatArray = np.zeros(n_models)
        self.n_rows = 0

    def add(self, errors: FloatArray) -> None:
        """Add the errors of some rows, shape (n, K)."""
        self._squares += np.einsum("ij,ij->j", errors, errors)
        self._sizes += np.abs(errors).sum(axis=0)
        self.n_rows += len(errors)

    @property
    def rmse(self) -> FloatArray:
        """(K,) root of the mean square; nan without rows."""
        return np.sqrt(self._mean(self._squares))

    @property
    def mae(self) -> FloatArray:
        """(K,) mean size; nan without rows."""
        return self._mean(self._sizes)

    def _mean(self, sums: FloatArray) -> FloatArray:
        return sums / self.n_rows if self.n_rows else np.full(len(sums), np.nan)
