"""The posterior as picks enter it: whitened coordinates that stay accurate.

Coordinates follow the picks by a chain of symmetric factors, and are computed afresh from R where
variances have shrunk so much that digits would be lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.blas_threads import blas_threads_for
from prcli.numerics.chain import Chain
from prcli.numerics.overflow import check_targets
from prcli.numerics.passes import (
    FEW_DIRECTIONS,
    Loops,
    Move,
    Project,
    Turn,
    move_rows,
    project_rows,
)
from prcli.numerics.rigidity import squared_norms, whiten
from prcli.numerics.square_root import SquareRoot, with_prior

FloatArray = NDArray[np.float64]

#: A variance below this share of its value at the last whitening asks for a fresh one.
STALE_SHARE = 1e-3

#: Picks after which target coordinates are made afresh, so that the chain stays short. Their
#: errors are still near rounding then.
LONGEST_CHAIN = 512


@dataclass(frozen=True)
class RowStep:
    """How a single picked row enters whitened coordinates without a new factorization.

    Attributes
    ----------
    z : ndarray of shape (D,)
        The row's present coordinates in the frame of the targets.
    q : float
        Its variance |z|².
    covariances : ndarray of shape (T,)
        K, its products with the coordinates of the targets.
    q_fresh : float
        Its variance when the frame was whitened.
    chain : Chain
        Picks between that moment and this one.
    """

    z: FloatArray
    q: float
    covariances: FloatArray
    q_fresh: float
    chain: Chain


class Posterior:
    """The Hessian of training rows, prior and picks.

    Parameters
    ----------
    data_factor : ndarray of shape (D, D)
        Factor of the weighted training rows, in the scale of the rows to come.
    prior_root : ndarray of shape (D,) or (D, D)
        F with FᵀF = P, in the same scale.
    regularizer : float
        ς².
    """

    def __init__(self, data_factor: FloatArray, prior_root: FloatArray, regularizer: float) -> None:
        self._data = SquareRoot.from_factor(data_factor)
        self._prior_root = prior_root
        self._regularizer = regularizer
        self._factor: FloatArray | None = None
        self._pending: list[FloatArray] = []

    @property
    def n_columns(self) -> int:
        """Width D of the rows."""
        return self._data.n_columns

    def copy(self) -> Posterior:
        """Make another one, to add other rows to."""
        twin = Posterior(self._data.factor, self._prior_root, self._regularizer)
        twin._factor, twin._pending = self._factor, list(self._pending)
        return twin

    def add(self, rows: FloatArray) -> None:
        """Add picked rows, shape (m, D), with unit weight."""
        # Factorized together when a factor is asked for: row by row it takes as long as a
        # pass over a whole pool.
        self._pending.append(np.array(rows))
        self._factor = None

    def _absorb(self) -> None:
        if self._pending:
            self._data.add_rows(np.concatenate(self._pending))
            self._pending.clear()

    def factor(self) -> FloatArray:
        """Triangular factor of the present Hessian, by a fresh factorization."""
        if self._factor is None:
            self._absorb()
            self._factor = with_prior(self._data.factor, self._prior_root, self._regularizer)
        return self._factor

    def factor_with(self, rows: FloatArray) -> FloatArray:
        """Triangular factor after adding `rows`, shape (m, D), without adding them."""
        self._absorb()
        data = SquareRoot.from_factor(self._data.factor)
        data.add_rows(rows)
        return with_prior(data.factor, self._prior_root, self._regularizer)


class TargetFrame:
    """Targets in whitened coordinates of the posterior, kept fresh.

    Parameters
    ----------
    posterior : Posterior
        Where picks go.
    rows : ndarray of shape (T, D)
        Target rows.

    Attributes
    ----------
    posterior : Posterior
    v : ndarray of shape (T,)
        Present inverse rigidities.
    factor : ndarray of shape (D, D)
        What the coordinates were whitened with, before `chain`.
    chain : Chain
        Picks since then.
    """

    def __init__(self, posterior: Posterior, rows: FloatArray) -> None:
        self.posterior = posterior
        self._rows = rows
        self._move: Move = move_rows
        self._project: Project = project_rows
        self._turn: Turn | None = None
        self._start(posterior.factor())
        check_targets(self.v, rows)

    def use(self, loops: Loops) -> None:
        """Let other implementations of the loops do the work."""
        self._move, self._project, self._turn = loops.move, loops.project, loops.turn
        self.chain.turn = loops.turn

    def refresh(self) -> None:
        """Whiten the targets with a fresh factorization, unless that has just been done."""
        factor = self.posterior.factor()
        if factor is not self.factor or len(self.chain):
            self._start(factor)

    def _start(self, factor: FloatArray) -> None:
        self.factor = factor
        self.coordinates = whiten(self._rows, self.factor)
        self.v = squared_norms(self.coordinates)
        self._v_fresh = self.v
        self.chain = Chain(self._rows.shape[1], self._turn)

    def steps_of(self, rows: FloatArray, whitened: FloatArray | None = None) -> list[RowStep]:
        """How single rows would enter, each by itself.

        The targets are whitened afresh first where the picks since the last whitening have
        taken most of the variance of one of the rows.

        Parameters
        ----------
        rows : ndarray of shape (m, D)
        whitened : ndarray of shape (m, D), optional
            The same whitened with `factor`, where that is known.

        Returns
        -------
        steps : list of RowStep
        """
        before = whiten(rows, self.factor) if whitened is None else whitened
        now, fresh = before, squared_norms(before)
        variances = fresh
        if len(self.chain):
            now = self.chain.apply(before)
            variances = squared_norms(now)
            if (variances < STALE_SHARE * fresh).any():
                self.refresh()
                return self.steps_of(rows)
        return [
            RowStep(z, float(q), K, float(q_fresh), self.chain)
            for z, q, K, q_fresh in zip(now, variances, self._covariances(now), fresh, strict=True)
        ]

    def _covariances(self, rows: FloatArray) -> FloatArray:
        """Products (m, T) of rows with the coordinates of the targets."""
        if len(rows) <= FEW_DIRECTIONS and self._project is not project_rows:
            return self._project(self.coordinates, rows)
        with blas_threads_for(len(rows)):
            return project_rows(self.coordinates, rows)

    def add(self, rows: FloatArray, step: RowStep | None = None) -> None:
        """Add picked rows.

        Parameters
        ----------
        rows : ndarray of shape (m, D)
        step : RowStep, optional
            For a single row: spares a whitening from a fresh factorization.

        Raises
        ------
        ValueError
            If the step belongs to an earlier whitening.
        """
        if step is not None and step.chain is not self.chain:
            raise ValueError("the targets have been whitened since the step was made")
        self.posterior.add(rows)
        if step is None:
            self.refresh()
            return
        self.chain.append(step.z, step.q)
        u, beta = self.chain.last()
        root = math.sqrt(step.q)
        self.v = np.empty_like(self._v_fresh)
        if root > 0.0:
            self._move(self.coordinates, u, step.covariances * (beta / root), self.v)
        else:
            self.v[:] = squared_norms(self.coordinates)
        stale = (self.v < STALE_SHARE * self._v_fresh).any()
        if stale or len(self.chain) >= LONGEST_CHAIN:
            self.refresh()

    def exact_variances(self, rows: FloatArray) -> FloatArray:
        """Inverse rigidities, shape (T,), after adding `rows`, by a factorization of its own."""
        return squared_norms(whiten(self._rows, self.posterior.factor_with(rows)))

    def fresh_variances(self) -> FloatArray:
        """Inverse rigidities, shape (T,), by a fresh factorization: the check on drift."""
        return squared_norms(whiten(self._rows, self.posterior.factor()))
