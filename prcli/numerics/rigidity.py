"""Prediction rigidities of rows: PR(g) = 1/(gᵀ H⁻¹ g) = 1/|R⁻ᵀ g|²."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dtrsm, dtrsv

FloatArray = NDArray[np.float64]

#: Squared lengths of rows from which on they are divided by it before they are multiplied again.
_LARGEST_SQUARE = 1e150


def whiten(
    rows: NDArray[np.floating], factor: FloatArray, *, overwrite: bool = False
) -> FloatArray:
    """Coordinates Z = G R⁻¹ in which the Hessian is the identity.

    Parameters
    ----------
    rows : ndarray of shape (M, D)
        Rows G.
    factor : ndarray of shape (D, D)
        Upper-triangular R with RᵀR = H.
    overwrite : bool
        Solve in place where `rows` is float64 and C-contiguous.

    Returns
    -------
    whitened : ndarray of shape (M, D), C order
    """
    work: FloatArray = np.array(rows, dtype=np.float64, order="C", copy=not overwrite or None)
    if work.size:
        # The transpose of a C-ordered array is what Fortran takes: nothing is copied.
        work = dtrsm(1.0, factor, work.T, side=0, lower=0, trans_a=1, overwrite_b=1).T
    return work


def whiten_one(row: FloatArray, factor: FloatArray) -> FloatArray:
    """Coordinates, shape (D,), of a single row of shape (D,): reads the factor once, no more.

    See `whiten`, from which it differs by rounding.
    """
    if not row.size:
        return row.copy()
    if factor.flags.f_contiguous:
        found: FloatArray = dtrsv(factor, row, trans=1)
    else:
        found = dtrsv(factor.T, row, lower=1)
    return found


def squared_norms(rows: FloatArray) -> FloatArray:
    """Squared length of every row, shape (M,)."""
    norms: FloatArray = np.einsum("ij,ij->i", rows, rows)
    return norms


def inverse_rigidities(
    rows: NDArray[np.floating], factor: FloatArray, *, overwrite: bool = False
) -> FloatArray:
    """1/PR of every row, shape (M,); 0 for a row of zeros."""
    return squared_norms(whiten(rows, factor, overwrite=overwrite))


def rigidities(
    rows: NDArray[np.floating], factor: FloatArray, *, overwrite: bool = False
) -> FloatArray:
    """PR of every row (Chong2025, eqs 2, 7, 8).

    Parameters
    ----------
    rows : ndarray of shape (M, D)
        Rows of any kind: structures (PR), atoms (LPR), components (CPR), last layers (LLPR).
    factor : ndarray of shape (D, D)
        Upper-triangular R with RᵀR = H.
    overwrite : bool
        Allow `rows` to be used as work space.

    Returns
    -------
    rigidity : ndarray of shape (M,)
        A pure number; infinite for a row of zeros.
    """
    return reciprocal(inverse_rigidities(rows, factor, overwrite=overwrite))


def prior_shares(
    whitened: FloatArray, factor: FloatArray, prior_root: FloatArray, regularizer: float
) -> FloatArray:
    """Share of each 1/PR that the prior alone accounts for, shape (M,), between 0 and 1.

    From H⁻¹ = H⁻¹ (H_data + ς² P) H⁻¹: where the share is near 1 the training rows do not
    determine the prediction, and the regularizer holds it in place.

    Parameters
    ----------
    whitened : ndarray of shape (M, D)
        Rows G in the coordinates G R⁻¹; see `whiten`.
    factor : ndarray of shape (D, D)
        Upper-triangular R with RᵀR = H.
    prior_root : ndarray of shape (D,) or (D, D)
        F with FᵀF = P.
    regularizer : float
        ς².

    Returns
    -------
    shares : ndarray of shape (M,)
        0 for a row of zeros, and for one that is not finite.
    """
    variances = squared_norms(whitened)
    if not whitened.size:
        return variances
    if not variances.max() <= _LARGEST_SQUARE:
        # A share does not depend on the length of its row.
        largest = np.abs(whitened).max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            whitened = whitened / np.where(largest > 0.0, largest, 1.0)
        variances = squared_norms(whitened)
    solved = dtrsm(1.0, factor, whitened.T, side=0, lower=0, trans_a=0).T
    held = solved * prior_root if prior_root.ndim == 1 else solved @ prior_root.T
    shares = np.zeros(len(variances))
    np.divide(regularizer * squared_norms(held), variances, out=shares, where=variances > 0.0)
    return np.minimum(shares, 1.0)


def reciprocal(values: FloatArray) -> FloatArray:
    """1/x with 1/0 = inf and no warning: a row of zeros is held infinitely firmly.

    What is not a number stays so.
    """
    result = np.full(values.shape, np.inf)
    with np.errstate(over="ignore"):
        np.divide(1.0, values, out=result, where=~(values <= 0.0))
    return result
