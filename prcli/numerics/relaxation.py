"""How much any selection can gain at most: candidates that are added by parts.

With weights 0 ≤ w_c ≤ 1 in place of picks, the Hessian is H + Σ w_c B_cᵀB_c. The objectives are
concave functions of it: log det H; −gᵀH⁻¹g; and PR(g) = 1/(gᵀH⁻¹g), the least value of xᵀHx over
all x with gᵀx = 1, so that means of PR and of its logarithm are concave as well. For any such
weights w, therefore, no selection gains more than f(w) + max_u ∇f(w)·(u − w) over all weights u
within the limit, and that maximum is a knapsack that may be filled by parts. The weights are
improved to bring it down: a pass over the pool gives a bound and the candidates to take in (Frank
and Wolfe), and projected gradients find the best weights of those at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from prcli.numerics.block_effects import at_most_square, triangle_of
from prcli.numerics.block_source import BlockSource
from prcli.numerics.capped_weights import Capacity, maximize
from prcli.numerics.objectives import Objective
from prcli.numerics.posterior import Posterior
from prcli.numerics.rigidity import squared_norms, whiten

FloatArray = NDArray[np.float64]

#: Share of the bound by which the gain of the weights may be below it in the end.
TOLERANCE = 1e-3

#: Passes over the pool at most.
MOST_PASSES = 50

#: Share of the gap of a pass to which the candidates at hand are solved.
_INNER_SHARE = 0.1

#: Weights that are as good as none.
_NOTHING = 1e-12


@dataclass(frozen=True)
class Bound:
    """What no selection gains more than.

    Attributes
    ----------
    gain : float
        Of the objective.
    relaxed : float
        What candidates that are added by parts do gain: no such bound can be below it.
    n_passes : int
        Over the pool.
    """

    gain: float
    relaxed: float
    n_passes: int


class Relaxation:
    """An objective as a function of weights of candidates.

    Parameters
    ----------
    posterior : Posterior
        The Hessian before the picks.
    targets : ndarray of shape (T, D)
        None of them zero.
    weights : ndarray of shape (T,)
        Positive, sum 1.
    pool : BlockSource
        C candidates.
    objective : Objective
        Other than `min-pr`, which has corners.
    """

    def __init__(
        self,
        posterior: Posterior,
        targets: FloatArray,
        weights: FloatArray,
        pool: BlockSource,
        objective: Objective,
    ) -> None:
        if objective.name not in _IMPORTANCE:
            raise ValueError(f"{objective.name} has no slopes everywhere")
        self._posterior = posterior
        self._targets = targets
        self._weights = weights
        self._pool = pool
        self._objective = objective
        self._factor = posterior.factor()
        self._coordinates = whiten(targets, self._factor)
        self._v = squared_norms(self._coordinates)
        self._rows: dict[int, FloatArray] = {}

    def bound(self, capacity: Capacity, closed: NDArray[np.bool_], start: Iterable[int]) -> Bound:
        """Bound what a selection can gain.

        Parameters
        ----------
        capacity : Capacity
        closed : ndarray of bool of shape (C,)
            Candidates that may not be picked.
        start : iterable of int
            A selection within the capacity, to begin with.

        Returns
        -------
        bound : Bound
        """
        members = np.array(list(start), dtype=np.int64)
        weights = np.ones(len(members))
        least, relaxed, n_passes = np.inf, 0.0, 0
        while n_passes < MOST_PASSES:
            gain, slopes = self.slopes(members, weights)
            slopes[closed] = 0.0
            filled, most = capacity.fill(slopes)
            gap = most - float(slopes[members] @ weights)
            least, relaxed = min(least, gain + gap), max(relaxed, gain)
            n_passes += 1
            if least - relaxed <= TOLERANCE * least:
                break
            used = weights > _NOTHING
            fresh = np.setdiff1d(filled, members[used])
            weights = np.concatenate([weights[used], np.zeros(len(fresh))])
            members = np.concatenate([members[used], fresh])
            weights = self._improved(members, weights, capacity, _INNER_SHARE * gap)
        return Bound(float(least), float(relaxed), n_passes)

    def slopes(self, members: NDArray[np.integer], weights: FloatArray) -> tuple[float, FloatArray]:
        """Compute the gain at some weights, and its derivative by every weight, shape (C,)."""
        blocks = [np.sqrt(w) * self._take(i) for i, w in zip(members, weights, strict=True)]
        factor = self._posterior.factor_with(
            np.concatenate([np.empty((0, self._pool.n_columns)), *blocks])
        )
        growth = np.abs(np.diagonal(factor) / np.diagonal(self._factor))
        coordinates = whiten(self._targets, factor)
        v = squared_norms(coordinates)
        directions = self._directions(coordinates, v)
        slopes = np.empty(self._pool.n_blocks)
        for first, heights, rows in self._pool.blocks():
            shares = _shares(whiten(rows, factor, overwrite=True), directions)
            slopes[first : first + len(heights)] = _sums(shares, heights)
        return self._gain(v, 2.0 * float(np.log(growth).sum())), slopes

    def _improved(
        self,
        members: NDArray[np.int64],
        weights: FloatArray,
        capacity: Capacity,
        tolerance: float,
    ) -> FloatArray:
        """Find the best weights, to a tolerance, of a few candidates."""
        blocks = [self._take(index) for index in members]
        heights = np.array([len(block) for block in blocks])
        rows = whiten(np.concatenate(blocks), self._factor)
        targets, rest = self._coordinates, np.zeros(len(self._v))
        if len(rows) < rows.shape[1]:
            # Only what lies in the span of the rows changes.
            basis = qr(rows.T, mode="economic", check_finite=False)[0]
            rows, targets = rows @ basis, targets @ basis
            rest = squared_norms(self._coordinates - targets @ basis.T)

        def evaluate(weights: FloatArray) -> tuple[float, FloatArray]:
            scaled = np.sqrt(np.repeat(weights, heights))[:, np.newaxis] * rows
            factor = triangle_of(np.concatenate([np.eye(rows.shape[1]), scaled]))
            factor = np.asfortranarray(factor)
            coordinates = whiten(targets, factor)
            v = rest + squared_norms(coordinates)
            shares = _shares(whiten(rows, factor), self._directions(coordinates, v))
            log_det = 2.0 * float(np.log(np.abs(np.diagonal(factor))).sum())
            return self._gain(v, log_det), _sums(shares, heights)

        return maximize(evaluate, capacity.of(members), weights, tolerance)

    def _take(self, index: int | np.integer) -> FloatArray:
        """Rows of a candidate, or as few that stand for them."""
        if int(index) not in self._rows:
            self._rows[int(index)] = at_most_square(self._pool.take(int(index)))
        return self._rows[int(index)]

    def _gain(self, v: FloatArray, log_det: float) -> float:
        drop = np.maximum(self._v - v, 0.0)
        return self._objective.gain(self._v, v, drop, self._weights, log_det)

    def _directions(self, coordinates: FloatArray, v: FloatArray) -> FloatArray | None:
        """Vectors whose squared products with a row are its slope, (k, D); None for all."""
        importance = _IMPORTANCE[self._objective.name]
        if importance is None:
            return None
        roots = np.sqrt(self._weights / importance(v))
        directions = roots[:, np.newaxis] * coordinates
        return triangle_of(directions) if len(directions) > directions.shape[1] else directions


#: What divides a target's weight in the slopes, given 1/PR; None where targets do not enter.
_IMPORTANCE: dict[str, Callable[[FloatArray], FloatArray] | None] = {
    "mean-pr": lambda v: v * v,
    "mean-log-pr": lambda v: v,
    "mean-variance": lambda v: np.ones_like(v),
    "log-det": None,
}


def _shares(rows: FloatArray, directions: FloatArray | None) -> FloatArray:
    """Slope of each row, shape (M,)."""
    return squared_norms(rows if directions is None else rows @ directions.T)


def _sums(values: FloatArray, heights: Sequence[int] | NDArray[np.integer]) -> FloatArray:
    """Sum values of rows within candidates, of which some may have none."""
    owner = np.repeat(np.arange(len(heights)), heights)
    sums = np.bincount(owner, weights=values, minlength=len(heights))
    return np.asarray(sums, dtype=np.float64)


def has_bound(objective: Objective) -> bool:
    """Whether an objective has slopes everywhere, as `Relaxation` needs."""
    return objective.name in _IMPORTANCE
