"""Rigidities at many regularizers from one decomposition of data and prior.

With R_0 the factor of the data and F the root of the prior, QR of [R_0; ς_r F] = [Q_1; Q_2] R_1
at some reference ς_r², and V that brings Q_1 and Q_2 to orthogonal columns at once (a cosine-sine
decomposition), of lengths C_i and s_i:

    1/PR(ς²) = Σ_i y_i² / (C_i² + (ς/ς_r)² s_i²),    y = Vᵀ R_1⁻ᵀ g.

Nothing is squared before the end, and all terms are positive. Errors of rounding grow with the
distance of ς from ς_r, so the reference belongs into the middle of the range of interest. V from
the SVD of Q_1 alone would lose small s_i; they come from the SVD of the columns of Q_2 V to which
they belong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import norm, qr, svd, svdvals

from prcli.errors import RankError, RequestError
from prcli.numerics.rigidity import whiten
from prcli.numerics.square_root import balanced_condition

FloatArray = NDArray[np.float64]

#: Range of regularizers that is looked at, in units of the largest eigenvalue of the data
#: Hessian relative to the prior: below it float64 ends, above it the data hardly count.
LOWEST_RELATIVE, HIGHEST_RELATIVE = 1e-16, 1e2


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Data and prior of a Hessian, both diagonal in the same coordinates.

    Attributes
    ----------
    factor : ndarray of shape (D, D), Fortran order
        Upper-triangular R_1.
    rotation : ndarray of shape (D, D)
        V.
    data : ndarray of shape (D,)
        C_i², what the data know of each direction.
    prior : ndarray of shape (D,)
        s_i²/ς_r², so that data + ς² prior is the Hessian.
    """

    factor: FloatArray
    rotation: FloatArray
    data: FloatArray
    prior: FloatArray

    def inverse_rigidities(
        self, rows: NDArray[np.floating], regularizers: ArrayLike, *, overwrite: bool = False
    ) -> FloatArray:
        """1/PR of every row at every regularizer.

        Parameters
        ----------
        rows : ndarray of shape (M, D)
        regularizers : array-like of shape (G,)
            ς², positive.
        overwrite : bool
            Allow `rows` to be used as work space.

        Returns
        -------
        inverse : ndarray of shape (M, G)
            0 for a row of zeros.
        """
        weights = self._weights(rows, overwrite)
        inverse: FloatArray = weights @ (1.0 / self._eigenvalues(regularizers)).T
        return inverse

    def inverse_and_shares(
        self, rows: NDArray[np.floating], regularizers: ArrayLike, *, overwrite: bool = False
    ) -> tuple[FloatArray, FloatArray]:
        """1/PR as `inverse_rigidities`, and the share of each that the prior accounts for.

        Parameters
        ----------
        rows : ndarray of shape (M, D)
        regularizers : array-like of shape (G,)
        overwrite : bool

        Returns
        -------
        inverse, shares : ndarray of shape (M, G)
            Shares as those of `rigidity.prior_shares`; 0 for a row of zeros.
        """
        weights = self._weights(rows, overwrite)
        of_prior = np.outer(np.asarray(regularizers, dtype=np.float64), self.prior)
        eigenvalues = self._eigenvalues(regularizers)
        inverse: FloatArray = weights @ (1.0 / eigenvalues).T
        held: FloatArray = weights @ (of_prior / eigenvalues**2).T
        shares = np.zeros_like(inverse)
        np.divide(held, inverse, out=shares, where=inverse > 0.0)
        return inverse, shares

    def _weights(self, rows: NDArray[np.floating], overwrite: bool) -> FloatArray:
        """y_i² of every row, shape (M, D)."""
        weights: FloatArray = whiten(rows, self.factor, overwrite=overwrite) @ self.rotation
        weights *= weights
        return weights

    def effective_parameters(self, regularizers: ArrayLike) -> FloatArray:
        """How many parameters the data determine at each regularizer, shape (G,)."""
        shares: FloatArray = self.data / self._eigenvalues(regularizers)
        counts: FloatArray = shares.sum(axis=1)
        return counts

    def _eigenvalues(self, regularizers: ArrayLike) -> FloatArray:
        """Diagonal of the Hessian at each regularizer, shape (G, D)."""
        values = np.atleast_1d(np.asarray(regularizers, dtype=np.float64))
        diagonal: FloatArray = self.data + values[:, np.newaxis] * self.prior
        return diagonal


def decompose(data_factor: FloatArray, prior_root: FloatArray, reference: float) -> Spectrum:
    """Bring data and prior to diagonal form at once.

    Parameters
    ----------
    data_factor : ndarray of shape (D, D)
        Upper-triangular R_0 of the weighted rows, without prior.
    prior_root : ndarray of shape (D,) or (D, D)
        F with FᵀF = P, possibly singular: the diagonal of F, or an upper-triangular F.
    reference : float
        ς_r², positive: the middle of the regularizers that are of interest.

    Returns
    -------
    spectrum : Spectrum

    Raises
    ------
    RankError
        If some direction is determined neither by data nor by the prior.
    """
    n_columns = data_factor.shape[1]
    full = np.diag(prior_root) if prior_root.ndim == 1 else prior_root
    stack = np.concatenate([data_factor, np.sqrt(reference) * full])
    Q, R = qr(stack, mode="economic", overwrite_a=True, check_finite=False)
    factor = np.asfortranarray(R)
    _require_full_rank(factor)
    of_data, of_prior = Q[:n_columns], Q[n_columns:]
    _, lengths, transposed = svd(of_data, overwrite_a=False, check_finite=False)
    rotation: FloatArray = np.ascontiguousarray(transposed.T)
    # In directions that the data determine, only the prior's part tells what the prior adds.
    n_large = int(np.count_nonzero(lengths > np.sqrt(0.5)))
    if n_large:
        leading = rotation[:, :n_large]
        inner = svd(of_prior @ leading, full_matrices=False, check_finite=False)[2]
        rotation[:, :n_large] = leading @ inner.T
        lengths[:n_large] = np.linalg.norm(of_data @ rotation[:, :n_large], axis=0)
    prior = np.linalg.norm(of_prior @ rotation, axis=0) ** 2 / reference
    return Spectrum(factor, rotation, lengths**2, prior)


def usual_range(data_factor: FloatArray, prior_root: FloatArray) -> tuple[float, float]:
    """Regularizers between which something happens.

    Parameters
    ----------
    data_factor : ndarray of shape (D, D)
        Factor of the weighted, scaled rows without prior.
    prior_root : ndarray of shape (D,) or (D, D)
        F with FᵀF = P.

    Returns
    -------
    low, high : float
        1e-16 and 1e2 times σ_max², the largest singular value of the data factor relative to
        that of F.

    Raises
    ------
    RequestError
        If data or prior are zero, so that no regularizer changes anything.
    """
    largest = float(norm(data_factor, 2))
    of_prior = float(np.abs(prior_root).max()) if prior_root.ndim == 1 else norm(prior_root, 2)
    if largest == 0.0 or of_prior == 0.0:
        zero = "the prior is zero" if largest else "all training rows are zero"
        raise RequestError(
            f"{zero}, so that no regularizer is better than another",
            remedy="keep the regularizer with --keep-regularizer",
        )
    relative = (largest / float(of_prior)) ** 2
    return LOWEST_RELATIVE * relative, HIGHEST_RELATIVE * relative


def _require_full_rank(factor: FloatArray) -> None:
    """Refuse data and prior that leave a direction free; columns count by direction only."""
    n_columns = factor.shape[1]
    tolerance = n_columns * float(np.finfo(np.float64).eps)
    if balanced_condition(factor) < 10.0 / tolerance:
        return
    lengths = np.linalg.norm(factor, axis=0)
    singular = svdvals(factor / np.where(lengths > 0.0, lengths, 1.0))
    rank = int(np.count_nonzero(singular > tolerance * singular[0])) if singular[0] > 0.0 else 0
    if rank == n_columns:
        return
    raise RankError(
        f"training rows and prior together have rank {rank} of {n_columns}",
        expected=f"{n_columns} independent directions in training rows and prior",
        got=f"rank {rank}",
        remedy="more varied training structures, or another prior; an intercept that no "
        "training structure determines must be left out",
    )
