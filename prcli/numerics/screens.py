"""Screens: bounds on the gain of every candidate of a pool, updated pick by pick.

A screen is fast and a little wrong: it works with coordinates of an earlier whitening, perhaps
in fewer digits, and with recurrences. It therefore gives each gain an upper and a lower bound
that account for rounding. What decides between candidates whose bounds overlap is computed
elsewhere, with care; the screen only has to leave few of them. What a screen keeps in memory,
and in which precision, therefore changes no pick.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.covariances import make_covariances
from prcli.numerics.lazy_screen import LazyDetScreen
from prcli.numerics.objectives import Objective
from prcli.numerics.passes import best_loops, best_project
from prcli.numerics.pool_frame import PoolFrame
from prcli.numerics.posterior import RowStep, TargetFrame
from prcli.numerics.row_source import RowSource
from prcli.records import Holding

FloatArray = NDArray[np.float64]

#: Candidates whose quadratic forms are computed at once.
_FORMS_AT_A_TIME = 4096


class Screen(Protocol):
    """Bounds on merits, which are gains or gains per cost, for all candidates at once."""

    frame: PoolFrame

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds, both of shape (C,); −inf for who may not be picked.

        Both may be overwritten, and hold until the next call.
        """
        ...

    def add(self, rows: FloatArray, step: RowStep) -> None:
        """Learn of a pick, a row of shape (1, D) that has just been added to the posterior."""
        ...

    def refresh(self) -> None:
        """Start again from a fresh whitening."""
        ...


class CrossScreen:
    """Screen for objectives that are nonlinear in the targets' variances: needs K (C, T).

    Parameters
    ----------
    objective : Objective
    pool : RowSource
    targets : TargetFrame
    n_to_select : int
        Picks that will be asked for, to plan the work.
    holding : Holding
    worth : callable
        Gives (C,) what a unit of gain is worth now: one over the cost, 0 for who may not be picked.
    """

    def __init__(
        self,
        objective: Objective,
        pool: RowSource,
        targets: TargetFrame,
        n_to_select: int,
        holding: Holding,
        worth: Callable[[], FloatArray],
    ) -> None:
        self._targets = targets
        self._objective = objective
        self._worth = worth
        n_covariances = pool.n_rows * len(targets.v)
        self._loops = best_loops(objective.name, n_covariances, n_to_select)
        targets.use(self._loops)
        self.frame = PoolFrame(pool, targets, holding.pool, self._loops.project)
        self._covariances = make_covariances(self.frame, targets, self._loops, holding.covariances)
        self._scores: FloatArray = np.empty((4, pool.n_rows))
        self._bounds: FloatArray = np.empty((2, pool.n_rows))
        self.refresh()

    def refresh(self) -> None:
        """Whiten the pool and compute all covariances afresh."""
        # Before the pool, for what is computed as its rows come.
        self._targets.refresh()
        self._v_fresh = self._targets.v.copy()
        self._covariances.start(self._v_fresh)
        self.frame.whiten(self._covariances.visit)
        self._direction: FloatArray | None = None
        self._k = np.zeros(len(self._v_fresh))

    def add(self, rows: FloatArray, step: RowStep) -> None:
        """Record a pick; the next call of `bounds` applies it while it scores."""
        if self._direction is not None:
            raise ValueError("the bounds after the pick before have not been asked for")
        entry = self.frame.enter(rows[0], step)
        if entry is None:
            self.refresh()
            return
        self._direction = entry.direction
        self._k = step.covariances / math.sqrt(1.0 + step.q)

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Apply the latest pick, score, and bound the merits by the errors of rounding."""
        frame, worth = self.frame, self._worth()
        self._covariances.score(self._direction, self._k, v, weights, worth, self._scores)
        self._direction = None
        self._k[:] = 0.0
        loss = float((self._v_fresh / v).max())
        noise = frame.noise + self._covariances.storage_noise
        unclear = self._loops.bound(
            self._scores, frame.q, frame.q_fresh, noise, loss, worth, self._bounds
        )
        lower, upper = self._bounds
        if unclear.any():
            members = np.flatnonzero(unclear)
            upper[members] = self._ceiling(v, weights, members) * worth[members]
        return lower, upper

    def _ceiling(self, v: FloatArray, weights: FloatArray, members: NDArray[np.intp]) -> FloatArray:
        """Gain that some candidates cannot exceed, since v' ≥ v/(1+q)."""
        q = self.frame.limits(members)[1]
        if self._objective.name == "mean-pr":
            return q * float(weights @ (1.0 / v))
        if self._objective.name == "min-pr":
            return q / float(v.max())
        return np.log1p(q)


class VarianceScreen:
    """Screen for the mean variance: one quadratic form a candidate instead of K.

    Parameters
    ----------
    pool : RowSource
    targets : TargetFrame
    weights : ndarray of shape (T,)
    n_to_select : int
    holding : Holding
    worth : callable
        As for `CrossScreen`.
    """

    def __init__(
        self,
        pool: RowSource,
        targets: TargetFrame,
        weights: FloatArray,
        n_to_select: int,
        holding: Holding,
        worth: Callable[[], FloatArray],
    ) -> None:
        self._targets = targets
        self._weights = weights
        self._worth = worth
        self.frame = _frame(pool, targets, n_to_select, holding)
        self._s: FloatArray = np.empty(pool.n_rows)
        self.refresh()

    def refresh(self) -> None:
        """Whiten the pool and compute all quadratic forms afresh."""
        self._targets.refresh()
        weighted = np.sqrt(self._weights)[:, np.newaxis] * self._targets.coordinates
        self._M = weighted.T @ weighted
        self._total = float(self._weights @ self._targets.v)
        self.frame.whiten(self._visit)
        self._pending: tuple[FloatArray, float] | None = None

    def _visit(self, first: int, rows: FloatArray) -> None:
        """Compute the quadratic forms of some candidates."""
        for start in range(0, len(rows), _FORMS_AT_A_TIME):
            part = rows[start : start + _FORMS_AT_A_TIME]
            forms = np.einsum("ij,ij->i", part @ self._M, part)
            self._s[first + start : first + start + len(part)] = forms

    def add(self, rows: FloatArray, step: RowStep) -> None:
        """Record a pick: s ← s − 2 r h + r² Σ w k², with h_c = Σ w k K_c."""
        if self._pending is not None:
            raise ValueError("the bounds after the pick before have not been asked for")
        entry = self.frame.enter(rows[0], step)
        if entry is None:
            self.refresh()
            return
        chain = self.frame.chain
        n_before = len(chain) - 1
        spread = self._M @ entry.direction
        mixed = chain.apply_transposed(chain.apply(spread, n_before), n_before)
        directions = np.column_stack([entry.direction, mixed])
        total = float(self._weights @ step.covariances**2) / (1.0 + step.q)
        self._pending = directions, total

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Apply the latest pick, and bound s/(1+q) times worth."""
        frame = self.frame
        if self._pending is not None:
            directions, total = self._pending
            for part, (products,) in frame.products([directions]):
                r, h = products.T
                self._s[part] += r * (r * total - 2.0 * h)
                frame.shrink(part, r)
            self._pending = None
        least, most = frame.limits()
        # Both r and h are wrong by what was kept of the coordinates, and each enters s.
        error = (frame.noise + 2.0 * frame.storage_noise) * self._total * frame.q_fresh
        lower = np.maximum(self._s - error, 0.0) / (1.0 + most)
        upper = np.maximum(self._s + error, 0.0) / (1.0 + least)
        # No covariance exceeds the root of the product of the variances.
        ceiling = float(weights @ v) * (most / (1.0 + most))
        np.minimum(upper, ceiling, out=upper)
        worth = self._worth()
        lower *= worth
        upper *= worth
        upper[worth == 0.0] = lower[worth == 0.0] = -np.inf
        return lower, upper


def _frame(pool: RowSource, targets: TargetFrame, n_to_select: int, holding: Holding) -> PoolFrame:
    """Make the frame of an objective without covariances."""
    project = best_project(pool.n_rows * pool.n_columns, n_to_select, holding.pool)
    return PoolFrame(pool, targets, holding.pool, project)


def make_screen(
    objective: Objective,
    pool: RowSource,
    targets: TargetFrame,
    weights: FloatArray,
    n_to_select: int,
    holding: Holding | None = None,
    *,
    worth: Callable[[], FloatArray],
) -> Screen:
    """Build the cheapest screen that serves an objective and holds what it may."""
    holding = Holding() if holding is None else holding
    if objective.needs_cross:
        return CrossScreen(objective, pool, targets, n_to_select, holding, worth)
    if objective.needs_targets:
        return VarianceScreen(pool, targets, weights, n_to_select, holding, worth)
    return LazyDetScreen(_frame(pool, targets, n_to_select, holding), worth)
