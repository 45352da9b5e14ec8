"""Screens: bounds on the gain of every candidate of a pool, updated pick by pick.

A screen is fast and a little wrong: it works with coordinates of an earlier whitening and
with recurrences. It therefore gives each gain an upper and a lower bound that account for
rounding. What decides between candidates whose bounds overlap is computed elsewhere, with
care; the screen only has to leave few of them.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prcli.errors import FeatureError
from prcli.numerics.objectives import Objective
from prcli.numerics.passes import best_loops
from prcli.numerics.posterior import Chain, Posterior, RowStep, TargetFrame
from prcli.numerics.rigidity import squared_norms, whiten
from prcli.numerics.row_source import RowSource
from prcli.numerics.square_root import balanced_condition

FloatArray = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)

#: A pick whose variance has shrunk by this factor since the pool was whitened has lost
#: half of its digits there.
WORN_SHARE = 1e-8

#: Share of the worst case that the amplification of rounding by an ill-conditioned factor
#: stays below; measured against 400-bit arithmetic, a third of it would do.
AMPLIFICATION = 0.1


class Screen(Protocol):
    """Bounds on gains, for all candidates at once."""

    frame: PoolFrame

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds on the gains, both of shape (C,).

        Both may be overwritten, and hold until the next call.
        """
        ...

    def add(self, index: int, step: RowStep) -> None:
        """Record a pick."""
        ...

    def refresh(self) -> None:
        """Start again from a fresh whitening."""
        ...


class PoolFrame:
    """The pool in the whitened coordinates of one moment, and the picks since then."""

    def __init__(self, pool: RowSource, posterior: Posterior) -> None:
        self._pool = pool
        self._posterior = posterior
        self.coordinates: FloatArray = np.empty((pool.n_rows, pool.n_columns))
        self.n_whitenings = 0
        self.whiten()

    def whiten(self) -> None:
        """Compute the coordinates of all candidates from the present factor."""
        self.factor = factor = self._posterior.factor()
        for start, rows in self._pool.blocks():
            self.coordinates[start : start + len(rows)] = whiten(rows, factor, overwrite=True)
        with np.errstate(over="ignore", invalid="ignore"):
            self.q_fresh = squared_norms(self.coordinates)
        if not np.isfinite(self.q_fresh).all():
            raise FeatureError(
                "features of a candidate are so large that their squares overflow",
                where=f"candidate {int(np.argmin(np.isfinite(self.q_fresh)))} of the pool",
                expected="features of the magnitude of those of the training set",
                remedy="check the units and the program that wrote them",
            )
        self.q = self.q_fresh.copy()
        self.chain = Chain(self._pool.n_columns)
        self._wear = 0.0
        self._condition = balanced_condition(factor)
        self.n_whitenings += 1

    def direction(self, index: int, q: float, z: FloatArray | None = None) -> FloatArray:
        """Vector w, shape (D,), with r_c = z_c · w for the pick `index`; chains the pick.

        `z` are the pick's present coordinates, if they are known in the frame of the pool.
        """
        if z is None:
            z = self.chain.apply(self.coordinates[index])
        direction: FloatArray = self.chain.apply_transposed(z) / np.sqrt(1.0 + q)
        self.chain.append(z, q)
        self._wear += float(self.q_fresh[index]) / (1.0 + q)
        return direction

    def is_worn(self, index: int, q: float) -> bool:
        """Whether a pick has lost too many digits for its direction to be trusted."""
        return q < WORN_SHARE * float(self.q_fresh[index])

    @property
    def noise(self) -> float:
        """Relative rounding error of an inner product of two rows as first whitened.

        The direction of a pick is as wrong as its coordinates were when they were long, which
        its own length does not tell any more; wear adds that up.
        """
        width = float(np.sqrt(self.coordinates.shape[1]))
        wear = float(np.sqrt(self._wear))
        steps = 8.0 * width + 4.0 * len(self.chain) + 8.0 * wear
        return _EPSILON * (steps + AMPLIFICATION * self._condition)


class CrossScreen:
    """Screen for objectives that are nonlinear in the targets' variances: keeps K (C, T)."""

    def __init__(
        self,
        objective: Objective,
        pool: RowSource,
        posterior: Posterior,
        targets: TargetFrame,
        n_to_select: int,
    ) -> None:
        self._targets = targets
        self._objective = objective
        self.frame = PoolFrame(pool, posterior)
        n_targets = len(targets.v)
        self._loops = best_loops(objective.name, pool.n_rows * n_targets, n_to_select)
        targets.use(self._loops)
        self._K: FloatArray = np.empty((pool.n_rows, n_targets))
        self._scores: FloatArray = np.empty((3, pool.n_rows))
        self._bounds: FloatArray = np.empty((2, pool.n_rows))
        self._correlate()

    def _correlate(self) -> None:
        # Targets may have been whitened at another moment; here both need the same frame.
        self._targets.refresh()
        np.matmul(self.frame.coordinates, self._targets.coordinates.T, out=self._K)
        self._v_fresh = self._targets.v.copy()
        self._direction = np.zeros(self.frame.coordinates.shape[1])
        self._k = np.zeros(len(self._v_fresh))

    def refresh(self) -> None:
        """Whiten the pool and compute all covariances afresh."""
        self.frame.whiten()
        self._correlate()

    def add(self, index: int, step: RowStep) -> None:
        """Record a pick; the next call of `bounds` applies it while it scores."""
        if self.frame.is_worn(index, step.q):
            self.refresh()
            return
        shared = self.frame.factor is self._targets.factor
        self._direction = self.frame.direction(index, step.q, step.z if shared else None)
        self._k = step.covariances / np.sqrt(1.0 + step.q)

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Apply the latest pick, score, and bound the gains by the errors of rounding."""
        frame = self.frame
        self._loops.score(
            frame.coordinates, self._direction, self._K, self._k, frame.q, v, weights, self._scores
        )
        self._direction[:] = 0.0
        self._k[:] = 0.0
        loss = float(np.max(self._v_fresh / v))
        unclear = self._loops.bound(
            self._scores, frame.q, frame.q_fresh, frame.noise, loss, self._bounds
        )
        lower, upper = self._bounds
        if unclear.any():
            upper[unclear] = self._ceiling(v, weights, np.flatnonzero(unclear))
        return lower, upper

    def _ceiling(self, v: FloatArray, weights: FloatArray, members: NDArray[np.intp]) -> FloatArray:
        """Gain that some candidates cannot exceed, since v' ≥ v/(1+q)."""
        q = self.frame.q[members] + self.frame.noise * self.frame.q_fresh[members]
        if self._objective.name == "mean-pr":
            return q * float(weights @ (1.0 / v))
        if self._objective.name == "min-pr":
            return q / float(v.max())
        return np.log1p(q)


class VarianceScreen:
    """Screen for the mean variance: one quadratic form a candidate instead of K."""

    def __init__(
        self, pool: RowSource, posterior: Posterior, targets: TargetFrame, weights: FloatArray
    ) -> None:
        self._targets = targets
        self._weights = weights
        self.frame = PoolFrame(pool, posterior)
        self._correlate()

    def _correlate(self) -> None:
        self._targets.refresh()
        weighted = np.sqrt(self._weights)[:, np.newaxis] * self._targets.coordinates
        self._M = weighted.T @ weighted
        self._total = float(self._weights @ self._targets.v)
        Z = self.frame.coordinates
        self._s = np.empty(len(Z))
        for start in range(0, len(Z), 4096):
            part = Z[start : start + 4096]
            self._s[start : start + 4096] = np.einsum("ij,ij->i", part @ self._M, part)

    def refresh(self) -> None:
        """Whiten the pool and compute all quadratic forms afresh."""
        self.frame.whiten()
        self._correlate()

    def add(self, index: int, step: RowStep) -> None:
        """Apply a pick: s ← s − 2 r h + r² Σ w k², with h_c = Σ w k K_c."""
        frame, q = self.frame, step.q
        if frame.is_worn(index, q):
            self.refresh()
            return
        chain = frame.chain
        z_before = chain.apply_transposed(chain.apply(frame.coordinates[index]))
        spread = self._M @ z_before / np.sqrt(1.0 + q)
        mixed = chain.apply_transposed(chain.apply(spread))
        direction = frame.direction(index, q)
        r, h = (frame.coordinates @ np.column_stack([direction, mixed])).T
        total = float(self._weights @ step.covariances**2) / (1.0 + q)
        self._s += r * (r * total - 2.0 * h)
        frame.q = np.maximum(frame.q - r * r, 0.0)

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bound s/(1+q)."""
        frame = self.frame
        gain = np.maximum(self._s, 0.0) / (1.0 + frame.q)
        slack = frame.noise * frame.q_fresh * (self._total + gain) / (1.0 + frame.q)
        return gain - slack, gain + slack


class DetScreen:
    """Screen for the determinant: the candidates' own variances are all it needs."""

    def __init__(self, pool: RowSource, posterior: Posterior) -> None:
        self.frame = PoolFrame(pool, posterior)

    def refresh(self) -> None:
        """Whiten the pool afresh."""
        self.frame.whiten()

    def add(self, index: int, step: RowStep) -> None:
        """Apply a pick: q ← q − r²."""
        frame, q = self.frame, step.q
        if frame.is_worn(index, q):
            self.refresh()
            return
        r = frame.coordinates @ frame.direction(index, q)
        frame.q = np.maximum(frame.q - r * r, 0.0)

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bound log(1 + q)."""
        frame = self.frame
        gain = np.log1p(frame.q)
        slack = frame.noise * (frame.q_fresh + 1.0) / (1.0 + frame.q)
        return gain - slack, gain + slack


def make_screen(
    objective: Objective,
    pool: RowSource,
    posterior: Posterior,
    targets: TargetFrame,
    weights: FloatArray,
    n_to_select: int,
) -> Screen:
    """Build the cheapest screen that serves an objective."""
    if objective.needs_cross:
        return CrossScreen(objective, pool, posterior, targets, n_to_select)
    if objective.needs_targets:
        return VarianceScreen(pool, posterior, targets, weights)
    return DetScreen(pool, posterior)
