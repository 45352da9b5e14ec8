"""Screens: bounds on the gain of every candidate of a pool, updated pick by pick.

A screen is fast and a little wrong: it works with coordinates of an earlier whitening, perhaps
in fewer digits, and with recurrences. It therefore gives each gain an upper and a lower bound
that account for rounding. What decides between candidates whose bounds overlap is computed
elsewhere, with care; the screen only has to leave few of them. What a screen keeps in memory,
and in which precision, therefore changes no pick.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.covariances import make_covariances
from prcli.numerics.lazy_screen import LazyDetScreen
from prcli.numerics.objectives import Objective
from prcli.numerics.passes import best_loops, best_project
from prcli.numerics.pool_frame import PoolFrame
from prcli.numerics.posterior import Posterior, RowStep, TargetFrame
from prcli.numerics.row_source import RowSource
from prcli.records import Holding

FloatArray = NDArray[np.float64]

#: Candidates whose quadratic forms are computed at once.
_FORMS_AT_A_TIME = 4096


class Screen(Protocol):
    """Bounds on gains, for all candidates at once."""

    frame: PoolFrame

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds on the gains, both of shape (C,).

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
    posterior : Posterior
    targets : TargetFrame
    n_to_select : int
        Picks that will be asked for, to plan the work.
    holding : Holding
    closed : callable
        Gives the (C,) candidates that may not be picked now.
    costs : ndarray of shape (C,), optional
        Positive; gains will be divided by them.
    """

    def __init__(
        self,
        objective: Objective,
        pool: RowSource,
        posterior: Posterior,
        targets: TargetFrame,
        n_to_select: int,
        holding: Holding,
        closed: Callable[[], NDArray[np.bool_]],
        costs: FloatArray | None,
    ) -> None:
        self._targets = targets
        self._objective = objective
        self._closed = closed
        self._worth = np.ones(pool.n_rows) if costs is None else 1.0 / costs
        n_covariances = pool.n_rows * len(targets.v)
        self._loops = best_loops(objective.name, n_covariances, n_to_select)
        targets.use(self._loops)
        self.frame = PoolFrame(pool, posterior, holding.pool, self._loops.project)
        self._covariances = make_covariances(self.frame, targets, self._loops, holding.covariances)
        self._scores: FloatArray = np.empty((4, pool.n_rows))
        self._bounds: FloatArray = np.empty((2, pool.n_rows))
        self.refresh()

    def refresh(self) -> None:
        """Whiten the pool and compute all covariances afresh."""
        # Targets may have been whitened at another moment; here both need the same frame.
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
        entry = self.frame.enter(rows[0], step, self._targets)
        if entry is None:
            self.refresh()
            return
        self._direction = self.frame.direction(entry)
        self._k = step.covariances / np.sqrt(1.0 + step.q)

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Apply the latest pick, score, and bound the gains by the errors of rounding."""
        frame = self.frame
        worth = np.where(self._closed(), 0.0, self._worth)
        self._covariances.score(self._direction, self._k, v, weights, worth, self._scores)
        self._direction = None
        self._k[:] = 0.0
        loss = float(np.max(self._v_fresh / v))
        noise = frame.noise + self._covariances.storage_noise
        unclear = self._loops.bound(self._scores, frame.q, frame.q_fresh, noise, loss, self._bounds)
        lower, upper = self._bounds
        if unclear.any():
            upper[unclear] = self._ceiling(v, weights, np.flatnonzero(unclear))
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
    posterior : Posterior
    targets : TargetFrame
    weights : ndarray of shape (T,)
    n_to_select : int
    holding : Holding
    """

    def __init__(
        self,
        pool: RowSource,
        posterior: Posterior,
        targets: TargetFrame,
        weights: FloatArray,
        n_to_select: int,
        holding: Holding,
    ) -> None:
        self._targets = targets
        self._weights = weights
        self.frame = _frame(pool, posterior, n_to_select, holding)
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
        entry = self.frame.enter(rows[0], step, self._targets)
        if entry is None:
            self.refresh()
            return
        chain = self.frame.chain
        spread = self._M @ chain.apply_transposed(entry.z) / np.sqrt(1.0 + step.q)
        mixed = chain.apply_transposed(chain.apply(spread))
        directions = np.column_stack([self.frame.direction(entry), mixed])
        total = float(self._weights @ step.covariances**2) / (1.0 + step.q)
        self._pending = directions, total

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Apply the latest pick, and bound s/(1+q)."""
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
        return lower, np.minimum(upper, ceiling, out=upper)


def _frame(pool: RowSource, posterior: Posterior, n_to_select: int, holding: Holding) -> PoolFrame:
    """Make the frame of an objective without covariances."""
    project = best_project(pool.n_rows * pool.n_columns, n_to_select, holding.pool)
    return PoolFrame(pool, posterior, holding.pool, project)


def make_screen(
    objective: Objective,
    pool: RowSource,
    posterior: Posterior,
    targets: TargetFrame,
    weights: FloatArray,
    n_to_select: int,
    holding: Holding | None = None,
    *,
    closed: Callable[[], NDArray[np.bool_]],
    costs: FloatArray | None = None,
) -> Screen:
    """Build the cheapest screen that serves an objective and holds what it may.

    `closed` gives the (C,) candidates that may not be picked now, and gains will be divided by
    `costs` (C,), if there are any: what a screen need not look at, and by what order.
    """
    holding = Holding() if holding is None else holding
    if objective.needs_cross:
        return CrossScreen(objective, pool, posterior, targets, n_to_select, holding, closed, costs)
    if objective.needs_targets:
        return VarianceScreen(pool, posterior, targets, weights, n_to_select, holding)
    return LazyDetScreen(_frame(pool, posterior, n_to_select, holding), targets, closed, costs)
