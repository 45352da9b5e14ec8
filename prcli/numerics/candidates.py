"""The exact gain of a few candidates, and the choice among them.

Screens leave a shortlist. Here the gain of each of its members is computed from fresh
coordinates, in a form that loses no digits where a candidate resolves a target almost
completely; where even that cannot separate two of them, each gets a factorization of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.objectives import Objective
from prcli.numerics.posterior import RowStep, TargetFrame

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
    rows : ndarray of shape (m, D)
        The candidate's rows.
    v_new : ndarray of shape (T,)
        Inverse rigidities of the targets after the pick.
    log_det : float
        Growth of log det H.
    gain, uncertainty : float
        Gain of the objective and its absolute error.
    step : RowStep or None
        How it enters whitened coordinates, where it is a single row.
    cost : float
        What the gain is divided by where candidates compete by gain per cost.
    """

    index: int
    rows: FloatArray
    v_new: FloatArray
    log_det: float
    gain: float
    uncertainty: float
    step: RowStep | None = None
    cost: float = 1.0

    @property
    def merit(self) -> float:
        """What candidates compete by: the gain per cost."""
        return self.gain / self.cost

    @property
    def doubt(self) -> float:
        """Absolute error of the merit."""
        return self.uncertainty / self.cost


def effects(
    targets: TargetFrame,
    objective: Objective,
    weights: FloatArray,
    indices: NDArray[np.intp],
    rows: FloatArray,
    whitened: FloatArray | None = None,
) -> list[Effect]:
    """Compute what each of some candidates of one row does.

    Parameters
    ----------
    targets : TargetFrame
        The targets; whitened afresh if the candidates' coordinates ask for it.
    objective : Objective
    weights : ndarray of shape (T,)
    indices : ndarray of shape (m,)
        Positions in the pool.
    rows : ndarray of shape (m, D)
    whitened : ndarray of shape (m, D), optional
        The same whitened with the factor of the targets, where that is known.

    Returns
    -------
    effects : list of Effect
    """
    steps = targets.steps_of(rows, whitened)
    return [
        _effect(targets, objective, weights, int(index), row, step)
        for index, row, step in zip(indices, rows, steps, strict=True)
    ]


def _effect(
    targets: TargetFrame,
    objective: Objective,
    weights: FloatArray,
    index: int,
    row: FloatArray,
    step: RowStep,
) -> Effect:
    v, z, q, K = targets.v, step.z, step.q, step.covariances
    drop = np.minimum(K * K, q * v) / (1.0 + q)
    v_new = v - drop
    small = v_new < STABLE_BELOW * v
    if small.any():
        resolved = np.flatnonzero(small)
        rest = targets.coordinates[resolved] - np.multiply.outer(K[resolved] / q, z)
        v_new[resolved] = np.einsum("ij,ij->i", rest, rest) + K[resolved] ** 2 / (q * (1.0 + q))
        drop[resolved] = v[resolved] - v_new[resolved]
    log_det = float(np.log1p(q))
    gain, uncertainty = gain_of(objective, v, v_new, drop, weights, log_det)
    return Effect(index, row[np.newaxis], v_new, log_det, gain, uncertainty, step)


def gain_of(
    objective: Objective,
    v: FloatArray,
    v_new: FloatArray,
    drop: FloatArray,
    weights: FloatArray,
    log_det: float,
) -> tuple[float, float]:
    """Gain of an objective, and the absolute error that small v_new bring into it."""
    if objective.needs_targets and not v.size:
        return float("nan"), 0.0
    gain = objective.gain(v, v_new, drop, weights, log_det)
    if not objective.needs_cross or not (v_new < STABLE_BELOW * v).any():
        return gain, 0.0
    relative = np.minimum(4.0 * _COORDINATE_ERROR * np.sqrt(v / v_new), 0.5)
    higher = objective.gain(v, v_new * (1.0 - relative), drop, weights, log_det)
    return gain, abs(higher - gain)


def choose(
    shortlist: list[Effect], targets: TargetFrame, objective: Objective, weights: FloatArray
) -> tuple[Effect, float]:
    """Choose the best of a shortlist.

    Returns
    -------
    best : Effect
        The one of lowest position among those whose merit is within `TIE` of the largest.
    margin : float
        Relative lead over the runner-up: 0 for a tie, nan without a runner-up.
    """
    shortlist = _separate(shortlist, targets, objective, weights)
    largest, runner_up = [*sorted((e.merit for e in shortlist), reverse=True), -math.inf][:2]
    tied = [e for e in shortlist if e.merit >= largest - TIE * abs(largest)]
    best = min(tied, key=lambda effect: effect.index)
    if len(shortlist) == 1:
        return best, float("nan")
    if len(tied) > 1:
        return best, 0.0
    return best, 1.0 - runner_up / best.merit if best.merit > 0.0 else 0.0


def _separate(
    shortlist: list[Effect], targets: TargetFrame, objective: Objective, weights: FloatArray
) -> list[Effect]:
    """Give a factorization of its own to every candidate that errors could put first."""
    doubtful = contested(shortlist)
    if not doubtful:
        return shortlist
    known: dict[bytes, FloatArray] = {}
    result = []
    for effect in shortlist:
        if effect.index in doubtful and effect.uncertainty > 0.0:
            key = effect.rows.tobytes()
            if key not in known:
                known[key] = targets.exact_variances(effect.rows)
            # Elsewhere v − K²/(1+q) keeps more digits of the drop than a new factor does.
            resolved = effect.v_new < STABLE_BELOW * targets.v
            v_new = np.where(resolved, known[key], effect.v_new)
            drop = np.maximum(targets.v - v_new, 0.0)
            gain = objective.gain(targets.v, v_new, drop, weights, effect.log_det)
            effect = replace(effect, v_new=v_new, gain=gain, uncertainty=0.0)
        result.append(effect)
    return result


def contested(shortlist: list[Effect]) -> set[int]:
    """Positions of candidates that errors could put first; none where errors do not matter."""
    floor = max(effect.merit - effect.doubt for effect in shortlist)
    contenders = [e for e in shortlist if e.merit + e.doubt >= floor - TIE * abs(floor)]
    largest = max(abs(effect.merit) for effect in contenders)
    settled = all(effect.doubt <= 0.1 * TIE * largest for effect in contenders)
    return set() if len(contenders) == 1 or settled else {e.index for e in contenders}


def leaders_of(found: list[Effect]) -> list[Effect]:
    """Drop those that can neither win, nor tie, nor be the runner-up."""
    if len(found) <= 2:
        return found
    lower = sorted((effect.merit - effect.doubt for effect in found), reverse=True)
    floor = lower[1] - 2.0 * TIE * abs(lower[0])
    return _undominated([e for e in found if e.merit + e.doubt >= floor])


def _undominated(found: list[Effect]) -> list[Effect]:
    """Drop those that one of lower position and no lower merit beats, but for the best of them.

    Among many equal candidates two are enough: the first, and one to tell that it is tied.
    """
    kept: list[Effect] = []
    beaten: Effect | None = None
    largest = -np.inf
    for effect in sorted(found, key=lambda e: e.index):
        if effect.merit > largest or effect.doubt > 0.0:
            kept.append(effect)
        elif beaten is None or effect.merit > beaten.merit:
            beaten = effect
        if effect.doubt == 0.0:
            largest = max(largest, effect.merit)
    return kept if beaten is None else [*kept, beaten]
