r"""Some candidates for removal in whitened coordinates, and what removals among them do.

In coordinates in which the Hessian is the identity, taking rows z away turns it into I − zᵀz and
the posterior into P = I + E. With L Lᵀ = I − z P zᵀ, E grows by dᵀd, d = L⁻¹ z P; the covariances
K of other rows Z with the targets Z_T grow by (Z dᵀ)(d Z_Tᵀ). Nothing is subtracted from
variances, which only rise, so that digits are lost in I − z P zᵀ alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, eigvalsh
from scipy.linalg.blas import dtrsm

from prcli.numerics.removal_objectives import RemovalObjective
from prcli.numerics.rigidity import squared_norms

FloatArray = NDArray[np.float64]

#: Rows that leave less than this of the Hessian in some direction cannot be removed.
SINGULAR = 1e-13

#: A bound on the largest eigenvalue of E that exceeds it by less than this share is not improved.
_TIGHT = 0.05

#: Share of candidates still there below which the others are dropped from all arrays.
_FULL_ENOUGH = 0.75


class RemovalFrame:
    """Candidates for removal and targets in whitened coordinates of one moment.

    Parameters
    ----------
    numbers : ndarray of shape (n,)
        Positions of the candidates in the whole set.
    rows : ndarray of shape (M, D)
        Rows of the candidates, one candidate after the other, whitened.
    heights : sequence of int
        Rows of each of the n candidates.
    targets : ndarray of shape (T, D)
        Whitened.
    compressed : ndarray of shape (m, D)
        C with CᵀC = Σ W z_t z_tᵀ over the targets.
    objective : RemovalObjective
    weights : ndarray of shape (T,)

    Attributes
    ----------
    v : ndarray of shape (T,)
        Present inverse rigidities of the targets.
    numbers : ndarray of shape (n,)
        As given; those of removed candidates are dropped now and then.
    removed : list of ndarray of shape (m, D)
        Coordinates of what was removed.
    """

    def __init__(
        self,
        numbers: NDArray[np.intp],
        rows: FloatArray,
        heights: Sequence[int] | NDArray[np.integer],
        targets: FloatArray,
        compressed: FloatArray,
        objective: RemovalObjective,
        weights: FloatArray,
    ) -> None:
        self.numbers = numbers
        self._rows = rows
        self._heights = np.asarray(heights, dtype=np.intp)
        self._begins = np.cumsum(self._heights) - self._heights
        self._targets = targets
        self._objective = objective
        self._weights = weights
        self._covariances = rows @ targets.T
        self._q = squared_norms(rows)
        self._storage: FloatArray = np.empty((64, rows.shape[1]))
        self._n_directions = 0
        self._compressed = compressed
        self._largest, self._shift, self._n_known = 0.0, 0.0, 0
        self._grown_squared = 0.0
        self.v = squared_norms(targets)
        self._v_known = self.v
        self._importance = objective.importance(self.v, weights)
        self._is_open = np.ones(len(self._heights), dtype=bool)
        self.removed: list[FloatArray] = []

    @property
    def n_open(self) -> int:
        """Candidates that are still there."""
        return int(np.count_nonzero(self._is_open))

    def losses(self, floor: float) -> tuple[NDArray[np.intp], FloatArray]:
        """Compute what the removal of each candidate loses that may be missed least.

        Parameters
        ----------
        floor : float
            Losses that are as good as none.

        Returns
        -------
        members : ndarray of shape (k,)
            Places in `numbers`.
        losses : ndarray of shape (k,)
            Infinite where the Hessian would become singular.
        """
        importance = self._objective.importance(self.v, self._weights)
        lower = self._sums((self._covariances * self._covariances) @ importance)
        room = 1.0 - self._sums(self._q)
        upper = np.full(len(lower), np.inf)
        np.divide(lower, room, out=upper, where=room > SINGULAR)
        lower[~self._is_open], upper[~self._is_open] = np.inf, np.inf
        least = float(upper.min())
        members = np.flatnonzero(self._is_open & (lower <= least * (1.0 + 1e-8) + floor))
        single = self._heights[members] == 1
        losses = np.zeros(len(members))
        losses[single] = self._single_losses(self._begins[members[single]])
        for place in np.flatnonzero(~single):
            losses[place] = self._block_loss(int(members[place]))
        return members, losses

    def remove(self, member: int) -> None:
        """Take one candidate away."""
        here = self._slice(member)
        z = self._rows[here]
        self._is_open[member] = False
        self.removed.append(z)
        if len(z):
            self._downdate(z)
        if self.n_open < _FULL_ENOUGH * len(self._is_open):
            self._compact()

    def _downdate(self, z: FloatArray) -> None:
        """Update the posterior."""
        present = z + (z @ self._directions.T) @ self._directions
        triangle = cholesky(np.eye(len(z)) - present @ z.T, check_finite=False)
        directions = dtrsm(1.0, triangle, present, trans_a=1)
        along, targets = self._rows @ directions.T, directions @ self._targets.T
        self._covariances += along @ targets
        self._q += squared_norms(along)
        self.v = self.v + np.einsum("it,it->t", targets, targets)
        # The Frobenius norm of what E has grown by since its largest eigenvalue was computed.
        since, own = self._directions[self._n_known :] @ directions.T, directions @ directions.T
        self._grown_squared += 2.0 * float(np.vdot(since, since)) + float(np.vdot(own, own))
        self._append(directions)

    @property
    def _directions(self) -> FloatArray:
        """The directions d of all removals so far: E is dᵀd."""
        return self._storage[: self._n_directions]

    def _append(self, directions: FloatArray) -> None:
        n = self._n_directions + len(directions)
        if n > len(self._storage):
            larger = np.empty((2 * n, self._storage.shape[1]))
            larger[: self._n_directions] = self._directions
            self._storage = larger
        self._storage[self._n_directions : n] = directions
        self._n_directions = n

    def _compact(self) -> None:
        """Drop what was removed."""
        keep, rows = self._is_open, np.repeat(self._is_open, self._heights)
        self.numbers, self._heights, self._is_open = (
            self.numbers[keep],
            self._heights[keep],
            keep[keep],
        )
        self._begins = np.cumsum(self._heights) - self._heights
        self._rows, self._q = self._rows[rows], self._q[rows]
        self._covariances = self._covariances[rows]

    @property
    def growth(self) -> float:
        """An upper bound of the largest eigenvalue of E."""
        return self._largest + float(np.sqrt(self._grown_squared))

    def change(self) -> tuple[float, float]:
        """How much less candidates that are not here may lose than they did at first.

        Returns
        -------
        share : float
            Square root of the least share of the factors W that is left.
        shift : float
            Most that √(Σ W k²) can have changed by, in units of the square root of the
            candidate's variance. With W½ Z_T E z for the change of W½ k, that is the largest
            singular value of W½ Z_T E; for what E has grown by since that was computed, norms
            of its parts stand for it.
        """
        now = self._objective.importance(self.v, self._weights)
        share = float(np.sqrt((now / self._importance).min())) if len(now) else 1.0
        risen = float(self._importance @ (self.v - self._v_known))
        return share, self._shift + float(np.sqrt(risen * np.sqrt(self._grown_squared)))

    def tighten(self) -> bool:
        """Compute both bounds anew; False if there is little to gain."""
        if self._grown_squared <= (_TIGHT * self._largest) ** 2:
            return False
        d = self._directions
        gram = d @ d.T if len(d) < d.shape[1] else d.T @ d
        self._largest = _top_eigenvalue(gram)
        moved = (self._compressed @ d.T) @ d
        gram = moved @ moved.T if len(moved) < d.shape[1] else moved.T @ moved
        self._shift = float(np.sqrt(_top_eigenvalue(gram)))
        self._grown_squared, self._n_known, self._v_known = 0.0, len(d), self.v
        return True

    def _slice(self, member: int) -> slice:
        begin = int(self._begins[member])
        return slice(begin, begin + int(self._heights[member]))

    def _sums(self, values: FloatArray) -> FloatArray:
        """Sum over the rows of each candidate."""
        if (self._heights == 1).all():
            return values.copy()
        return segment_sums(values, self._heights)

    def _single_losses(self, places: NDArray[np.intp]) -> FloatArray:
        room = 1.0 - self._q[places]
        safe = room > SINGULAR
        k = self._covariances[places]
        x = k * k / np.where(safe, room, 1.0)[:, np.newaxis]
        losses = self._objective.loss(self.v, x, self._weights)
        return np.where(safe | ~np.any(self._rows[places], axis=1), losses, np.inf)

    def _block_loss(self, member: int) -> float:
        here = self._slice(member)
        z, k = self._rows[here], self._covariances[here]
        if not len(z):
            return 0.0
        along = z @ self._directions.T
        rest = np.eye(len(z)) - z @ z.T - along @ along.T
        try:
            triangle = cholesky(rest, check_finite=False)
        except LinAlgError:
            return float("inf")
        if float(np.diagonal(triangle).min()) ** 2 <= SINGULAR:
            return float("inf")
        half = dtrsm(1.0, triangle, k, trans_a=1)
        x = np.einsum("it,it->t", half, half)[np.newaxis]
        return float(self._objective.loss(self.v, x, self._weights)[0])


def _top_eigenvalue(gram: FloatArray) -> float:
    """Largest eigenvalue of a positive semidefinite matrix, or a little more."""
    last = len(gram) - 1
    top = eigvalsh(gram, subset_by_index=[last, last], check_finite=False)
    return float(top[0]) * (1.0 + 1e-12)


def segment_sums(values: FloatArray, heights: NDArray[np.integer]) -> FloatArray:
    """Sum consecutive runs of some heights, shape (n,); 0 for a run of none."""
    sums = np.zeros(len(heights))
    some = np.flatnonzero(heights)
    begins = np.cumsum(heights) - heights
    if some.size:
        sums[some] = np.add.reduceat(values, begins[some])
    return sums
