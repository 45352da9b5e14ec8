"""Generalized Gauss-Newton factors: how much a row counts, given the loss and its residual.

Losses are normalized to ℓ(r) ≈ r² near 0, and a row's factor is h = ½ ℓ''(r): 1 for squared
errors, less for residuals that a robust loss holds to be outliers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prcli.records import LossName

FloatArray = NDArray[np.float64]

#: MACE's universal loss: Huber's width shrinks by a factor from each of these reference forces
#: (eV/Å) on.
_FORCE_STEPS = (100.0, 200.0, 300.0)
_FORCE_FACTORS = (1.0, 0.7, 0.4, 0.1)

#: Voigt order xx yy zz yz xz xy: the tensor holds each of the last three twice.
_TENSOR_MULTIPLICITY = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0)


def gauss_newton_factors(
    name: LossName, residuals: ArrayLike, delta: ArrayLike | None = None
) -> FloatArray:
    """Half the second derivative of the loss at each residual.

    Parameters
    ----------
    name : {"squared", "huber", "log-cosh", "mace-universal"}
        Of forces, "mace-universal" expects the widths of `universal_force_delta`.
    residuals : array-like of shape (...)
        Predicted minus reference.
    delta : array-like, optional
        Width of a robust loss, in the unit of the residuals; broadcasts against them.

    Returns
    -------
    factors : ndarray of shape (...)
        Between 0 and 1.

    Raises
    ------
    ValueError
        If a robust loss comes without `delta`.
    """
    residuals = np.asarray(residuals, dtype=np.float64)
    if name == "squared":
        return np.ones(residuals.shape)
    if delta is None:
        raise ValueError(f"the loss {name} needs delta")
    delta = np.asarray(delta, dtype=np.float64)
    if name == "log-cosh":
        return _squared_sech(residuals, delta)
    factors: FloatArray = (np.abs(residuals) <= delta).astype(np.float64)
    return factors


def universal_force_delta(delta: float, reference_forces: ArrayLike) -> FloatArray:
    """Widths that MACE's universal loss gives to the forces on atoms.

    Parameters
    ----------
    delta : float
        Width for small forces, eV/Å.
    reference_forces : array-like of shape (n, 3)
        eV/Å.

    Returns
    -------
    delta : ndarray of shape (n,)
        Times 1, 0.7, 0.4 or 0.1: below 100, 200, 300 eV/Å, and from there on.
    """
    norms = np.linalg.norm(np.asarray(reference_forces, dtype=np.float64), axis=-1)
    steps = np.searchsorted(_FORCE_STEPS, norms, side="right")
    widths: FloatArray = delta * np.array(_FORCE_FACTORS)[steps]
    return widths


def stress_row_weights(n_components: int) -> FloatArray:
    """How often the loss counts each row of a stress.

    Parameters
    ----------
    n_components : {6, 9}
        Components that the loss sums over.

    Returns
    -------
    weights : ndarray of shape (6,)
        Voigt order xx yy zz yz xz xy.
    """
    return np.array(_TENSOR_MULTIPLICITY) if n_components == 9 else np.ones(6)


def _squared_sech(residuals: FloatArray, delta: FloatArray) -> FloatArray:
    """Evaluate sech²(r/δ) by exponentials that only decay; cosh would overflow."""
    with np.errstate(over="ignore"):
        decay = np.exp(-2.0 * np.abs(residuals / delta))
    factors: FloatArray = 4.0 * decay / (1.0 + decay) ** 2
    return factors
