"""The posterior as picks enter it: whitened coordinates that stay accurate.

A pick z (whitened row) turns the identity into I + z zᵀ. Its inverse has the symmetric square
root A = I − β u uᵀ with u = z/|z| and β = 1 − 1/√(1+|z|²), so multiplying coordinates by A
keeps inner products equal to posterior covariances. A product of many such factors loses
digits where variances have shrunk a lot; then coordinates are computed afresh from R.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.blas_threads import one_blas_thread
from prcli.numerics.passes import FEW_DIRECTIONS, Loops, Move, Project, move_rows, project_rows
from prcli.numerics.rigidity import squared_norms, whiten
from prcli.numerics.square_root import SquareRoot, with_prior

FloatArray = NDArray[np.float64]

#: A variance below this share of its value at the last whitening asks for a fresh one.
STALE_SHARE = 1e-3

#: Picks after which target coordinates are made afresh, so that the chain stays short.
LONGEST_CHAIN = 128


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
    q_fresh : float, optional
        Its variance when the frame was whitened, where that is known.
    """

    z: FloatArray
    q: float
    covariances: FloatArray
    q_fresh: float | None = None


class Chain:
    """Product of the factors A of the picks since a whitening.

    It is kept as I − Uᵀ T U with the directions as rows of U and T upper triangular, as
    products of Householder reflections are.
    """

    def __init__(self, n_columns: int) -> None:
        self._directions: FloatArray = np.empty((8, n_columns))
        self._triangle: FloatArray = np.zeros((8, 8))
        self._length = 0

    def __len__(self) -> int:
        """Return the number of picks since the whitening."""
        return self._length

    def append(self, z: FloatArray, q: float) -> None:
        """Add the factor of a pick with present coordinates `z`, shape (D,), |z|² = q."""
        n = self._length
        if n == len(self._directions):
            self._directions = np.concatenate([self._directions, self._directions])
            self._triangle = np.pad(self._triangle, (0, n))
        root = np.sqrt(1.0 + q)
        norm = np.linalg.norm(z)
        beta = q / (root * (root + 1.0))
        u = z / norm if norm > 0.0 else np.zeros_like(z)
        self._triangle[:n, n] = -beta * (self._triangle[:n, :n] @ (self._directions[:n] @ u))
        self._triangle[n, n] = beta
        self._directions[n] = u
        self._length += 1

    def last(self) -> tuple[FloatArray, float]:
        """Direction u and β of the latest factor."""
        n = self._length - 1
        return self._directions[n], float(self._triangle[n, n])

    def apply(self, rows: FloatArray) -> FloatArray:
        """Bring rows, shape (M, D) or (D,), from the whitening to the present."""
        U, T = self._present()
        result: FloatArray = rows - ((rows @ U.T) @ T) @ U
        return result

    def apply_transposed(self, rows: FloatArray) -> FloatArray:
        """Bring present directions, (M, D) or (D,), back to the coordinates of the whitening."""
        U, T = self._present()
        result: FloatArray = rows - ((rows @ U.T) @ T.T) @ U
        return result

    def _present(self) -> tuple[FloatArray, FloatArray]:
        """U and T of the picks so far."""
        n = self._length
        return self._directions[:n], self._triangle[:n, :n]


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
    v : ndarray of shape (T,)
        Present inverse rigidities.
    factor : ndarray of shape (D, D)
        What the coordinates were whitened with, before `chain`.
    chain : Chain
        Picks since then.
    """

    def __init__(self, posterior: Posterior, rows: FloatArray) -> None:
        self._posterior = posterior
        self._rows = rows
        self._move: Move = move_rows
        self._project: Project = project_rows
        self._start(posterior.factor())

    def use(self, loops: Loops) -> None:
        """Let other implementations of the loops do the work."""
        self._move, self._project = loops.move, loops.project

    def refresh(self) -> None:
        """Whiten the targets with a fresh factorization, unless that has just been done."""
        factor = self._posterior.factor()
        if factor is not self.factor or len(self.chain):
            self._start(factor)

    def _start(self, factor: FloatArray) -> None:
        self.factor = factor
        self.coordinates = whiten(self._rows, self.factor)
        self.v = squared_norms(self.coordinates)
        self._v_fresh = self.v
        self.chain = Chain(self._rows.shape[1])

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
            if np.any(variances < STALE_SHARE * fresh):
                self.refresh()
                return self.steps_of(rows)
        project = self._project if len(now) <= FEW_DIRECTIONS else project_rows
        return [
            RowStep(z, float(q), K, float(q_fresh))
            for z, q, K, q_fresh in zip(
                now, variances, project(self.coordinates, now), fresh, strict=True
            )
        ]

    def add(self, rows: FloatArray, step: RowStep | None = None) -> None:
        """Add picked rows.

        Parameters
        ----------
        rows : ndarray of shape (m, D)
        step : RowStep, optional
            For a single row: spares a whitening from a fresh factorization.
        """
        self._posterior.add(rows)
        if step is None:
            self.refresh()
            return
        with one_blas_thread():
            self.chain.append(step.z, step.q)
        u, beta = self.chain.last()
        root = np.sqrt(step.q)
        self.v = np.empty_like(self._v_fresh)
        if root > 0.0:
            self._move(self.coordinates, u, step.covariances * (beta / root), self.v)
        else:
            self.v[:] = squared_norms(self.coordinates)
        stale = np.any(self.v < STALE_SHARE * self._v_fresh)
        if stale or len(self.chain) >= LONGEST_CHAIN:
            self.refresh()

    def exact_variances(self, rows: FloatArray) -> FloatArray:
        """Inverse rigidities, shape (T,), after adding `rows`, by a factorization of its own."""
        return squared_norms(whiten(self._rows, self._posterior.factor_with(rows)))

    def fresh_variances(self) -> FloatArray:
        """Inverse rigidities, shape (T,), by a fresh factorization: the check on drift."""
        return squared_norms(whiten(self._rows, self._posterior.factor()))
