"""Picks as they change whitened coordinates: a product of symmetric factors.

A pick z (whitened row) turns the identity into I + z zᵀ. Its inverse has the symmetric square
root A = I − β u uᵀ with u = z/|z| and β = 1 − 1/√(1+|z|²), so multiplying coordinates by A
keeps inner products equal to posterior covariances.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.blas_threads import blas_threads_for
from prcli.numerics.passes import FEW_DIRECTIONS, Turn

FloatArray = NDArray[np.float64]

#: Factors that are kept one by one at most, unless there are more columns.
MOST_FACTORS = 512


class Chain:
    """Product of the factors A of the picks since a whitening.

    Its factors are kept one by one, and as I − Uᵀ T U with the directions as rows of U and T
    upper triangular, as products of Householder reflections are. A compiled loop turns a few rows
    factor by factor, which reads U once; matrix products turn many. Earlier factors, where there
    would be more than `MOST_FACTORS` and columns, are kept as one matrix.

    Parameters
    ----------
    n_columns : int
    turn : callable, optional
        The compiled loop; see `kernels.turn_rows`. It may be given later.

    Attributes
    ----------
    brought_back : ndarray of shape (D,)
        Coordinates whose products with rows as whitened are those that the latest pick had with
        the same rows just before it was made.
    """

    def __init__(self, n_columns: int, turn: Turn | None = None) -> None:
        self.turn = turn
        self._directions: FloatArray = np.empty((8, n_columns))
        self._betas: FloatArray = np.empty(8)
        self._triangle: FloatArray = np.zeros((8, 8))
        self._length = self._n_merged = 0
        self._product: FloatArray | None = None
        self._n_multiplied = 0
        self.brought_back: FloatArray = np.zeros(n_columns)

    def __len__(self) -> int:
        """Return the number of picks since the whitening."""
        return self._n_multiplied + self._length

    def append(self, z: FloatArray, q: float) -> None:
        """Add the factor of a pick with present coordinates `z`, shape (D,), |z|² = q."""
        if self._length >= max(MOST_FACTORS, len(z)):
            self._multiply_out()
        n = self._length
        if n == len(self._betas):
            self._directions = np.concatenate([self._directions, self._directions])
            self._betas = np.concatenate([self._betas, self._betas])
        self.brought_back = self.apply_transposed(z)
        root, norm = math.sqrt(1.0 + q), math.sqrt(z @ z)
        self._betas[n] = q / (root * (root + 1.0))
        np.multiply(z, 1.0 / norm if norm > 0.0 else 0.0, out=self._directions[n])
        self._length += 1

    def last(self) -> tuple[FloatArray, float]:
        """Direction u and β of the latest factor."""
        n = self._length - 1
        return self._directions[n], float(self._betas[n])

    def apply(self, rows: FloatArray, n_picks: int | None = None) -> FloatArray:
        """Bring rows, (M, D) or (D,), from the whitening to after all, or the first, picks."""
        return self._apply(rows, n_picks, backwards=False)

    def apply_transposed(self, rows: FloatArray, n_picks: int | None = None) -> FloatArray:
        """Bring directions, (M, D) or (D,), back to the coordinates of the whitening."""
        return self._apply(rows, n_picks, backwards=True)

    def _apply(self, rows: FloatArray, n_picks: int | None, *, backwards: bool) -> FloatArray:
        n = self._length if n_picks is None else n_picks - self._n_multiplied
        if n < 0:
            raise ValueError("the first picks have been multiplied out")
        if self._product is None:
            return self._turned(rows, n, backwards=backwards)
        if backwards:
            return _multiplied(self._turned(rows, n, backwards=True), self._product.T)
        return self._turned(_multiplied(rows, self._product), n, backwards=False)

    def _multiply_out(self) -> None:
        """Forget the factors but for their product."""
        self._product = self.apply(np.eye(self._directions.shape[1]))
        self._n_multiplied += self._length
        self._length = self._n_merged = 0

    def _turned(self, rows: FloatArray, n: int, *, backwards: bool) -> FloatArray:
        """Multiply rows with the first n of the factors that are kept."""
        U = self._directions[:n]
        n_rows = _count(rows)
        result: FloatArray
        if self.turn is not None and n_rows <= FEW_DIRECTIONS:
            result = rows.copy()
            self.turn(U, self._betas[:n], result.reshape(n_rows, -1), backwards)
            return result
        with blas_threads_for(n_rows):
            T = self._merged(n)
            result = rows - ((rows @ U.T) @ (T.T if backwards else T)) @ U
        return result

    def _merged(self, n: int) -> FloatArray:
        """T of the first n picks."""
        if n > len(self._triangle):
            self._triangle = np.pad(self._triangle, (0, len(self._betas) - len(self._triangle)))
        U, T = self._directions, self._triangle
        for j in range(self._n_merged, n):
            T[:j, j] = -self._betas[j] * (T[:j, :j] @ (U[:j] @ U[j]))
            T[j, j] = self._betas[j]
        self._n_merged = max(self._n_merged, n)
        return T[:n, :n]


def _count(rows: FloatArray) -> int:
    """Count rows, (M, D) or (D,)."""
    return 1 if rows.ndim == 1 else len(rows)


def _multiplied(rows: FloatArray, matrix: FloatArray) -> FloatArray:
    """Multiply rows with a matrix, few of them on one thread."""
    with blas_threads_for(_count(rows)):
        products: FloatArray = rows @ matrix
        return products
