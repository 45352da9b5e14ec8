"""The posterior as picks enter it: whitened coordinates that stay accurate.

A pick z (whitened row) turns the identity into I + z zᵀ. Its inverse has the symmetric square
root A = I − β u uᵀ with u = z/|z| and β = 1 − 1/√(1+|z|²), so multiplying coordinates by A
keeps inner products equal to posterior covariances. A product of many such factors loses
digits where variances have shrunk a lot; then coordinates are computed afresh from R.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dger

from prcli.numerics.blas_threads import one_blas_thread
from prcli.numerics.rigidity import squared_norms, whiten
from prcli.numerics.square_root import SquareRoot, with_prior

FloatArray = NDArray[np.float64]

#: A variance below this share of its value at the last whitening asks for a fresh one.
STALE_SHARE = 1e-3

#: Picks after which target coordinates are made afresh, so that the chain stays short.
LONGEST_CHAIN = 128


class Chain:
    """Product of the factors A of the picks since a whitening."""

    def __init__(self, n_columns: int) -> None:
        self._directions: FloatArray = np.empty((8, n_columns))
        self._betas: FloatArray = np.empty(8)
        self._length = 0

    def __len__(self) -> int:
        """Return the number of picks since the whitening."""
        return self._length

    def append(self, z: FloatArray, q: float) -> None:
        """Add the factor of a pick with present coordinates `z`, shape (D,), |z|² = q."""
        if self._length == len(self._betas):
            self._directions = np.concatenate([self._directions, self._directions])
            self._betas = np.concatenate([self._betas, self._betas])
        root = np.sqrt(1.0 + q)
        norm = np.linalg.norm(z)
        self._directions[self._length] = z / norm if norm > 0.0 else 0.0
        self._betas[self._length] = q / (root * (root + 1.0))
        self._length += 1

    def last(self) -> tuple[FloatArray, float]:
        """Direction u and β of the latest factor."""
        return self._directions[self._length - 1], float(self._betas[self._length - 1])

    def apply(self, rows: FloatArray) -> FloatArray:
        """Bring rows, shape (M, D) or (D,), from the whitening to the present."""
        result = np.array(rows)
        for i in range(self._length):
            u = self._directions[i]
            result -= np.multiply.outer(self._betas[i] * (result @ u), u)
        return result

    def apply_transposed(self, row: FloatArray) -> FloatArray:
        """Bring a present direction, shape (D,), back to the coordinates of the whitening."""
        result = np.array(row)
        for i in reversed(range(self._length)):
            u = self._directions[i]
            result -= (self._betas[i] * (result @ u)) * u
        return result


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
    """

    def __init__(self, posterior: Posterior, rows: FloatArray) -> None:
        self._posterior = posterior
        self._rows = rows
        self.refresh()

    def refresh(self) -> None:
        """Whiten the targets with a fresh factorization."""
        self._factor = self._posterior.factor()
        self.coordinates = whiten(self._rows, self._factor)
        self.v = squared_norms(self.coordinates)
        self._v_fresh = self.v
        self._chain = Chain(self._rows.shape[1])

    def coordinates_of(self, rows: FloatArray) -> FloatArray:
        """Present coordinates of other rows, shape (m, D), in the frame of the targets.

        The targets are whitened afresh first where the picks since the last whitening have
        taken most of the variance of one of the rows.
        """
        before = whiten(rows, self._factor)
        if not len(self._chain):
            return before
        now = self._chain.apply(before)
        if np.any(squared_norms(now) < STALE_SHARE * squared_norms(before)):
            self.refresh()
            return whiten(rows, self._factor)
        return now

    def add(
        self, row: FloatArray, z: FloatArray, q: float, covariances: FloatArray | None = None
    ) -> None:
        """Add a picked row.

        Parameters
        ----------
        row : ndarray of shape (D,)
        z : ndarray of shape (D,)
            Its present coordinates.
        q : float
            Their squared length.
        covariances : ndarray of shape (T,), optional
            Their products with those of the targets, where they are known.
        """
        self._posterior.add(row[np.newaxis])
        self._chain.append(z, q)
        u, beta = self._chain.last()
        if self.coordinates.size:
            with one_blas_thread():
                if covariances is None or q == 0.0:
                    projections = self.coordinates @ u
                else:
                    projections = covariances / np.sqrt(q)
                # In place on the transpose: no temporary of the size of the targets.
                dger(-beta, u, projections, a=self.coordinates.T, overwrite_a=1)
        self.v = squared_norms(self.coordinates)
        stale = np.any(self.v < STALE_SHARE * self._v_fresh)
        if stale or len(self._chain) >= LONGEST_CHAIN:
            self.refresh()

    def exact_variances(self, row: FloatArray) -> FloatArray:
        """Inverse rigidities, shape (T,), after adding `row`, by a factorization of its own."""
        return squared_norms(whiten(self._rows, self._posterior.factor_with(row[np.newaxis])))

    def fresh_variances(self) -> FloatArray:
        """Inverse rigidities, shape (T,), by a fresh factorization: the check on drift."""
        return squared_norms(whiten(self._rows, self._posterior.factor()))
