"""Bounds on the gain of every block of a pool, updated pick by pick.

With S = I + Q, Q the covariances of the rows of a block and K those with a target, the block
lowers the target's variance by KᵀS⁻¹K (Woodbury). What rounding can have changed of that follows
from y = S⁻¹K: errors δK and δQ change it by 2 yᵀδK − yᵀδQ y. As everything else about screens,
the numbers may be a little wrong as long as the bounds hold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.block_bounds import BOUNDS
from prcli.numerics.block_effects import triangle_of
from prcli.numerics.block_frame import BlockFrame
from prcli.numerics.block_group import BlockGroup
from prcli.numerics.block_passes import best_loops
from prcli.numerics.block_source import BlockSource
from prcli.numerics.objectives import Objective
from prcli.numerics.posterior import TargetFrame

FloatArray = NDArray[np.float64]

#: Largest error of S, all of whose eigenvalues are at least 1, that first-order bounds allow.
WILD = 0.25


class BlockScreen:
    """Bounds on gains, for all candidates at once.

    Parameters
    ----------
    objective : Objective
    pool : BlockSource
    targets : TargetFrame
    weights : ndarray of shape (T,)
    n_to_select : int
        Picks that will be asked for, to plan the work.
    excluded : ndarray of bool of shape (C,)
    n_threads : int, optional
    """

    def __init__(
        self,
        objective: Objective,
        pool: BlockSource,
        targets: TargetFrame,
        weights: FloatArray,
        n_to_select: int,
        excluded: NDArray[np.bool_],
        n_threads: int | None = None,
    ) -> None:
        self._objective = objective
        self._targets = targets
        self._weights = weights
        n_targets = n_correlated(objective, len(targets.v), pool.n_columns)
        self.frame = BlockFrame(pool, targets.posterior, n_targets, excluded, n_threads)
        self._loops = {
            group.height: best_loops(
                group.height, group.gram.size + group.covariances.size, n_to_select
            )
            for group in self.frame.groups
        }
        self._lower: FloatArray = np.zeros(pool.n_blocks)
        self._upper: FloatArray = np.zeros(pool.n_blocks)
        self._correlate()

    def _correlate(self) -> None:
        coordinates = self._targets.coordinates
        if not self._objective.needs_targets:
            coordinates = coordinates[:0]
        elif not self._objective.needs_cross:
            coordinates = np.sqrt(self._weights)[:, np.newaxis] * coordinates
            if len(coordinates) > coordinates.shape[1]:
                # A sum over targets is one over the rows of their triangular factor as well.
                coordinates = triangle_of(coordinates)
        self.frame.correlate(coordinates)
        self._v_fresh = np.einsum("ij,ij->i", coordinates, coordinates)
        self._pending: tuple[FloatArray, FloatArray] | None = None

    def refresh(self) -> None:
        """Whiten the pool and compute all covariances afresh."""
        self.frame.whiten()
        self._correlate()

    def add(self, rows: FloatArray) -> None:
        """Record a pick, rows of shape (m, D); the next call of `bounds` applies it."""
        if not rows.size:
            return
        pick = self.frame.add(rows)
        if self._pending is not None:
            pick = (
                np.concatenate([self._pending[0], pick[0]]),
                np.concatenate([self._pending[1], pick[1]]),
            )
        self._pending = pick

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds on the gains, both of shape (C,).

        Candidates without rows and those that are excluded gain nothing.
        """
        self.frame.for_parts(self._bound)
        self._pending = None
        return self._lower.copy(), self._upper.copy()

    def _bound(self, part: BlockGroup) -> None:
        """Apply the latest pick to some candidates, and bound their gains."""
        if self._pending is not None:
            part.advance(*self._pending)
        squares = part.lengths * part.lengths
        error_of_gram = self.frame.gram_noise * squares.sum(axis=1)
        wild = ~(error_of_gram <= WILD)
        S = part.gram.copy()
        diagonal = np.einsum("cii->ci", S)
        # No v/v' exceeds 1 + excess.
        excess = np.einsum("ci,ci->c", squares, diagonal) + error_of_gram
        diagonal += 1.0 / squares
        S[wild] = np.eye(part.height)
        if self._objective.needs_targets:
            drop, error = self._drops(S, part.covariances, squares)
            lower, upper = BOUNDS[self._objective.name](
                drop, error, self._targets.v, self._weights, excess
            )
        else:
            lower, upper = self._log_det(S, squares)
        lower[wild], upper[wild] = 0.0, np.inf
        self._lower[part.members], self._upper[part.members] = lower, upper

    def _drops(
        self, S: FloatArray, K: FloatArray, squares: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """How much variance goes, and its error, both (C, T)."""
        noise, gram_noise = self.frame.noise, self.frame.gram_noise
        drop, size = np.empty((2, K.shape[0], K.shape[2]))
        self._loops[K.shape[1]].drops(S, K, drop, size)
        root = np.sqrt(self._v_fresh)
        # y is wrong itself, which counts to second order.
        size += np.multiply.outer(noise * squares.sum(axis=1), root)
        error = size * ((gram_noise + noise * noise) * size + 4.0 * noise * root)
        error += noise * self._v_fresh
        return drop, error

    def _log_det(self, S: FloatArray, squares: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bound log det (I + Q)."""
        noise, gram_noise = self.frame.noise, self.frame.gram_noise
        gain, size = np.empty((2, len(S)))
        self._loops[S.shape[1]].log_det(S, gain, size)
        gain += np.log(squares).sum(axis=1)
        error = size * ((gram_noise + noise * noise) * size + 2.0 * noise)
        error += noise * (1.0 + np.abs(gain))
        return np.maximum(gain - error, 0.0), np.maximum(gain + error, 0.0)


def n_correlated(objective: Objective, n_targets: int, n_columns: int) -> int:
    """Targets, or rows that stand for them, whose covariances a screen keeps."""
    if not objective.needs_targets:
        return 0
    return n_targets if objective.needs_cross else min(n_targets, n_columns)
