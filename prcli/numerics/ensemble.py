"""Members of a last-layer ensemble: samples of the posterior of the weights (Bigi2024).

The posterior of the weights is Gaussian with covariance α² H⁻¹ = α² R⁻¹ R⁻ᵀ. One vector of
standard normal numbers ξ per member gives both its weights, w + α R⁻¹ ξ, and its predictions,
g·w + α (R⁻ᵀ g)·ξ: the same numbers for all rows, so that predictions are correlated as the
posterior says, and a derived quantity is propagated by evaluating it for each member.

R refers to rows of unscaled features; the scale is inside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dtrsm

from prcli.numerics.rigidity import squared_norms, whiten

FloatArray = NDArray[np.float64]


def draw(n_members: int, n_columns: int, seed: int) -> FloatArray:
    """Draw ξ of every member.

    Parameters
    ----------
    n_members, n_columns : int
        M and D'.
    seed : int
        Not negative.

    Returns
    -------
    draws : ndarray of shape (M, D')
        Those of the first members do not depend on how many there are.
    """
    return np.random.default_rng(seed).standard_normal((n_members, n_columns))


def spread(
    rows: FloatArray,
    factor: FloatArray,
    draws: FloatArray,
    alpha: float,
    *,
    overwrite: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Give the standard deviation of each prediction, and how members deviate from it.

    Parameters
    ----------
    rows : ndarray of shape (n, D')
        Rows g.
    factor : ndarray of shape (D', D')
        Upper-triangular R with RᵀR = H.
    draws : ndarray of shape (M, D')
        ξ of the members.
    alpha : float
        Calibration factor, in the unit of the predictions.
    overwrite : bool
        Allow `rows` to be used as work space.

    Returns
    -------
    sigma : ndarray of shape (n,)
        α/√PR, exact and not estimated from the members.
    deviations : ndarray of shape (n, M)
        α (R⁻ᵀ g)·ξ; covariances between rows are α² g₁ᵀ H⁻¹ g₂.
    """
    whitened = whiten(rows, factor, overwrite=overwrite)
    sigma: FloatArray = alpha * np.sqrt(squared_norms(whitened))
    deviations: FloatArray = whitened @ (alpha * draws.T)
    return sigma, deviations


def sample_weights(
    weights: FloatArray, factor: FloatArray, draws: FloatArray, alpha: float
) -> FloatArray:
    """Weights of every member, w + α R⁻¹ ξ.

    Parameters
    ----------
    weights : ndarray of shape (D',)
        Those of the model, for unscaled features.
    factor : ndarray of shape (D', D')
    draws : ndarray of shape (M, D')
    alpha : float

    Returns
    -------
    samples : ndarray of shape (M, D'), C order
    """
    # The transpose of a C-ordered array is what Fortran takes.
    solved = dtrsm(alpha, factor, np.array(draws, order="C").T, side=0, lower=0, trans_a=0)
    samples: FloatArray = weights + solved.T
    return samples
