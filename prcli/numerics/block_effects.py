"""What adding a block of rows does, from fresh coordinates.

With z (m, D) the whitened rows of the block and z_t those of a target, v' is the least value of
|z_t − yᵀz|² + |y|² over all y: a sum of squares, which loses no digits where little of v is left.
Where much is left, v − |L⁻¹z z_t|² with L Lᵀ = I + z zᵀ keeps more of them of the drop. L comes
from a QR factorization of [I; zᵀ], since rows of a block may depend on each other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.linalg.blas import dtrsm

from prcli.numerics.candidates import STABLE_BELOW, Effect, gain_of
from prcli.numerics.objectives import Objective
from prcli.numerics.posterior import TargetFrame
from prcli.numerics.rigidity import squared_norms

FloatArray = NDArray[np.float64]


def block_effect(
    targets: TargetFrame,
    objective: Objective,
    weights: FloatArray,
    index: int,
    rows: FloatArray,
    z: FloatArray,
) -> Effect:
    """Compute what adding one block does.

    Parameters
    ----------
    targets : TargetFrame
        The targets, freshly whitened.
    objective : Objective
    weights : ndarray of shape (T,)
    index : int
        Position in the pool.
    rows : ndarray of shape (m, D)
        What the effect is to carry.
    z : ndarray of shape (n, D), n at most D
        The rows, or such as stand for them, whitened with the factor of the targets.

    Returns
    -------
    effect : Effect
    """
    triangle = triangle_of(_stacked(z))
    v_new, drop = _variances(targets, z, triangle)
    log_det = _log_det(z, triangle)
    gain, uncertainty = gain_of(objective, targets.v, v_new, drop, weights, log_det)
    return Effect(index, rows, v_new, log_det, gain, uncertainty)


def factorized_effect(
    targets: TargetFrame, objective: Objective, weights: FloatArray, effect: Effect
) -> Effect:
    """Compute the same with a factorization of its own where a block leaves little of a target.

    Parameters
    ----------
    targets : TargetFrame
    objective : Objective
    weights : ndarray of shape (T,)
    effect : Effect
        With the rows of the block.

    Returns
    -------
    effect : Effect
        Without uncertainty.
    """
    v, v_new = targets.v, effect.v_new
    resolved = v_new < STABLE_BELOW * v
    v_new = np.where(resolved, targets.exact_variances(effect.rows), v_new)
    gain = objective.gain(v, v_new, np.maximum(v - v_new, 0.0), weights, effect.log_det)
    return replace(effect, v_new=v_new, gain=gain, uncertainty=0.0)


def at_most_square(rows: FloatArray) -> FloatArray:
    """Rows of shape (m, D), or D rows with the same BᵀB where there are more."""
    if rows.shape[0] <= rows.shape[1]:
        return rows
    # Reflections keep small rows accurate where large rows and columns come first.
    order = np.argsort(-squared_norms(rows), kind="stable")
    triangle, columns = qr(rows[order], mode="r", pivoting=True, check_finite=False)
    result = np.empty((rows.shape[1], rows.shape[1]))
    result[:, columns] = triangle[: rows.shape[1]]
    return result


def triangle_of(rows: FloatArray) -> FloatArray:
    """Upper-triangular factor of rows of shape (m, D), by QR; shape (min(m, D), D)."""
    triangle = qr(rows, mode="r", check_finite=False)[0]
    return np.asarray(triangle[: rows.shape[1]])


def _variances(
    targets: TargetFrame, z: FloatArray, triangle: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Inverse rigidities after adding a block, and how far they fall, both (T,)."""
    v = targets.v
    if not z.size:
        return v.copy(), np.zeros_like(v)
    half = dtrsm(1.0, triangle, z @ targets.coordinates.T, trans_a=1)
    drop = np.minimum(np.einsum("it,it->t", half, half), v)
    v_new = v - drop
    resolved = np.flatnonzero(v_new < STABLE_BELOW * v)
    if resolved.size:
        v_new[resolved] = _least_squares(z, targets.coordinates[resolved])
        drop[resolved] = v[resolved] - v_new[resolved]
    return v_new, drop


def _least_squares(z: FloatArray, targets: FloatArray) -> FloatArray:
    """Least |z_t − yᵀz|² + |y|², shape (T,)."""
    # Products z z_t would carry the square of what z is ill-conditioned by into y.
    Q, triangle = qr(_stacked(z), mode="economic", check_finite=False)
    y = dtrsm(1.0, triangle, Q[len(z) :].T @ targets.T).T
    return squared_norms(targets - y @ z) + squared_norms(y)


def _stacked(z: FloatArray) -> FloatArray:
    """[I; zᵀ]."""
    return np.concatenate([np.eye(len(z)), z.T])


def _log_det(z: FloatArray, triangle: FloatArray) -> float:
    """Growth of log det H, log det (I + z zᵀ)."""
    if np.vdot(z, z) >= 1.0:
        return 2.0 * float(np.log(np.abs(np.diagonal(triangle))).sum())
    # The diagonal of the triangle would hold it next to 1.
    return float(np.log1p(np.linalg.eigvalsh(z @ z.T)).sum())
