"""Rigidities of components of a prediction: rows that are zero outside one block of columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from prcli.numerics.rigidity import inverse_rigidities, reciprocal

FloatArray = NDArray[np.float64]


class ComponentFactors:
    """What the Hessian tells of each block of columns once all others are integrated out.

    For a row g that is zero outside a block, gᵀ H⁻¹ g needs only that block of H⁻¹. Its inverse is
    the Schur complement of the block, whose square root is the last diagonal block of R with the
    columns of the block moved behind all others: again a QR decomposition, and H is not formed.

    Parameters
    ----------
    factor : ndarray of shape (D, D)
        Upper-triangular R with RᵀR = H.
    columns : sequence of slice
        Columns of each block.
    """

    def __init__(self, factor: FloatArray, columns: Sequence[slice]) -> None:
        self._columns = tuple(columns)
        self._factors = [_marginal_factor(factor, block) for block in self._columns]

    def rigidities(self, rows: FloatArray) -> FloatArray:
        """CPR of every block of every row (Chong2025, Table 1).

        Parameters
        ----------
        rows : ndarray of shape (M, D)
            Whole rows, of structures or of atoms; they stay as they are.

        Returns
        -------
        rigidity : ndarray of shape (M, n_blocks)
            Infinite where a row is zero within a block.
        """
        inverse = np.empty((len(rows), len(self._columns)))
        for i, (block, own) in enumerate(zip(self._columns, self._factors, strict=True)):
            inverse[:, i] = inverse_rigidities(rows[:, block], own)
        return reciprocal(inverse)


def component_rows(
    rows: FloatArray, columns: Sequence[slice], chosen: NDArray[np.intp] | None = None
) -> FloatArray:
    """Write rows of components out: each row once per block, zero outside that block.

    Parameters
    ----------
    rows : ndarray of shape (M, D)
    columns : sequence of slice
        Columns of each of C blocks.
    chosen : ndarray of shape (n,), optional
        Which of the M C rows of components are wanted, row by row and within it block by block;
        by default all.

    Returns
    -------
    rows : ndarray of shape (n, D)
    """
    n_blocks = len(columns)
    numbers = np.arange(len(rows) * n_blocks) if chosen is None else chosen
    written = np.zeros((len(numbers), rows.shape[1]))
    of_block = numbers % n_blocks
    for i, block in enumerate(columns):
        here = np.flatnonzero(of_block == i)
        written[here, block] = rows[numbers[here] // n_blocks, block]
    return written


def _marginal_factor(factor: FloatArray, block: slice) -> FloatArray:
    """Upper-triangular square root of the Schur complement of a block, shape (w, w)."""
    # Columns before the block stay in front, so that the rows above it are not needed.
    trailing = factor[block.start :, block.start :]
    width = block.stop - block.start
    moved = np.hstack([trailing[:, width:], trailing[:, :width]])
    (reduced,) = qr(moved, mode="r", overwrite_a=True, check_finite=False)
    return np.ascontiguousarray(reduced[-width:, -width:])
