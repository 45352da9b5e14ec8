"""The exact gain of a few candidates, and the choice among them.

Screens leave a shortlist. Here the gain of each of its members is computed from fresh
coordinates, in a form that loses no digits where a candidate resolves a target almost
completely; where even that cannot separate two of them, each gets a factorization of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.objectives import Objective
from prcli.numerics.posterior import TargetFrame

FloatArray = NDArray[np.float64]

#: Gains that differ by less, relative to the larger, are tied: the lower position wins.
TIE = 1e-9

#: Below this v'/v the difference v − K²/(1+q) is replaced by a sum of squares.
STABLE_BELOW = 1e-3

#: Relative error that coordinates may carry.
_COORDINATE_ERROR = 1e-13


@dataclass(frozen=True)
class Effect:
    """What adding one candidate does.

    Attributes
    ----------
    index : int
        Position in the pool.
    row : ndarray of shape (D,)
        The candidate's row.
    z : ndarray of shape (D,)
        Its present coordinates in the frame of the targets.
    q : float
        Its variance |z|².
    covariances : ndarray of shape (T,)
        K, with the targets.
    v_new : ndarray of shape (T,)
        Inverse rigidities of the targets after the pick.
    gain, uncertainty : float
        Gain of the objective and its absolute error.
    """

    index: int
    row: FloatArray
    z: FloatArray
    q: float
    covariances: FloatArray
    v_new: FloatArray
    gain: float
    uncertainty: float


def effects(
    targets: TargetFrame,
    objective: Objective,
    weights: FloatArray,
    indices: NDArray[np.intp],
    rows: FloatArray,
) -> list[Effect]:
    """Compute what each of some candidates does.

    Parameters
    ----------
    targets : TargetFrame
        The targets; whitened afresh if the candidates' coordinates ask for it.
    objective : Objective
    weights : ndarray of shape (T,)
    indices : ndarray of shape (m,)
        Positions in the pool.
    rows : ndarray of shape (m, D)

    Returns
    -------
    effects : list of Effect
    """
    coordinates = targets.coordinates_of(rows)
    variances = np.einsum("ij,ij->i", coordinates, coordinates)
    covariances = coordinates @ targets.coordinates.T
    return [
        _effect(targets, objective, weights, int(index), row, z, float(q), K)
        for index, row, z, q, K in zip(
            indices, rows, coordinates, variances, covariances, strict=True
        )
    ]


def _effect(
    targets: TargetFrame,
    objective: Objective,
    weights: FloatArray,
    index: int,
    row: FloatArray,
    z: FloatArray,
    q: float,
    K: FloatArray,
) -> Effect:
    v = targets.v
    drop = np.minimum(K * K, q * v) / (1.0 + q)
    v_new = v - drop
    resolved = np.flatnonzero(v_new < STABLE_BELOW * v)
    if resolved.size:
        rest = targets.coordinates[resolved] - np.multiply.outer(K[resolved] / q, z)
        v_new[resolved] = np.einsum("ij,ij->i", rest, rest) + K[resolved] ** 2 / (q * (1.0 + q))
        drop[resolved] = v[resolved] - v_new[resolved]
    uncertainty = 0.0
    if objective.needs_targets and not v.size:
        return Effect(index, row, z, q, K, v_new, float("nan"), uncertainty)
    gain = objective.gain(v, v_new, drop, weights, q)
    if resolved.size and objective.needs_cross:
        relative = np.minimum(4.0 * _COORDINATE_ERROR * np.sqrt(v / v_new), 0.5)
        higher = objective.gain(v, v_new * (1.0 - relative), drop, weights, q)
        uncertainty = abs(higher - gain)
    return Effect(index, row, z, q, K, v_new, gain, uncertainty)


def choose(
    shortlist: list[Effect], targets: TargetFrame, objective: Objective, weights: FloatArray
) -> tuple[Effect, float]:
    """Choose the best of a shortlist.

    Returns
    -------
    best : Effect
        The one of lowest position among those whose gain is within `TIE` of the largest.
    margin : float
        Relative lead over the runner-up: 0 for a tie, nan without a runner-up.
    """
    shortlist = _separate(shortlist, targets, objective, weights)
    gains = np.array([effect.gain for effect in shortlist])
    largest = gains.max()
    tied = [e for e in shortlist if e.gain >= largest - TIE * abs(largest)]
    best = min(tied, key=lambda effect: effect.index)
    if len(shortlist) == 1:
        return best, float("nan")
    if len(tied) > 1:
        return best, 0.0
    runner_up = float(np.partition(gains, -2)[-2])
    return best, 1.0 - runner_up / best.gain if best.gain > 0.0 else 0.0


def _separate(
    shortlist: list[Effect], targets: TargetFrame, objective: Objective, weights: FloatArray
) -> list[Effect]:
    """Give a factorization of its own to every candidate that errors could put first."""
    floor = max(effect.gain - effect.uncertainty for effect in shortlist)
    contenders = [e for e in shortlist if e.gain + e.uncertainty >= floor - TIE * abs(floor)]
    largest = max(abs(effect.gain) for effect in contenders)
    settled = all(effect.uncertainty <= 0.1 * TIE * largest for effect in contenders)
    if len(contenders) == 1 or settled:
        return shortlist
    doubtful = {effect.index for effect in contenders}
    known: dict[bytes, FloatArray] = {}
    result = []
    for effect in shortlist:
        if effect.index in doubtful:
            key = effect.row.tobytes()
            if key not in known:
                known[key] = targets.exact_variances(effect.row)
            v_new = known[key]
            drop = np.maximum(targets.v - v_new, 0.0)
            gain = objective.gain(targets.v, v_new, drop, weights, effect.q)
            effect = replace(effect, v_new=v_new, gain=gain, uncertainty=0.0)
        result.append(effect)
    return result
