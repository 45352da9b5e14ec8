"""A pool of blocks in the whitened coordinates of one moment, grouped by height.

A block counts through H + BᵀB alone, so one that is taller than D is replaced by the D rows of
its triangular factor. Rows are divided by √(1 + q), q their variance when they were whitened:
small and large rows of one block then enter with errors in proportion, and nothing overflows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.linalg.blas import dtrsm

from prcli.numerics.block_effects import at_most_square
from prcli.numerics.block_group import BlockGroup
from prcli.numerics.block_source import BlockSource
from prcli.numerics.part_threads import for_each
from prcli.numerics.posterior import Posterior
from prcli.numerics.rigidity import whiten
from prcli.numerics.square_root import balanced_condition

FloatArray = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)

#: What rounding is amplified by in units of the condition number of the factor; against 400-bit
#: arithmetic, where picks are 1e5 times larger than the rows before them, 0.7 would do.
AMPLIFICATION = 2.0


class BlockFrame:
    """The pool in whitened coordinates of one moment, and the picks since then.

    Parameters
    ----------
    pool : BlockSource
    posterior : Posterior
    n_targets : int
        Rows that `correlate` will be given.
    excluded : ndarray of bool of shape (C,)
        Candidates that are not kept at all.
    n_threads : int, optional

    Attributes
    ----------
    groups : list of BlockGroup
        Lowest blocks first; blocks without rows are in none.
    factor : ndarray of shape (D, D)
        What the rows were whitened with.
    n_whitenings : int
    n_picks : int
        Picks since the last whitening.
    """

    def __init__(
        self,
        pool: BlockSource,
        posterior: Posterior,
        n_targets: int,
        excluded: NDArray[np.bool_],
        n_threads: int | None = None,
    ) -> None:
        self._pool = pool
        self._posterior = posterior
        self._n_threads = n_threads
        heights = np.minimum(pool.heights, pool.n_columns)
        heights[excluded] = 0
        self._heights = heights
        self._slots = np.zeros(pool.n_blocks, dtype=np.intp)
        self.groups: list[BlockGroup] = []
        for height in np.unique(heights[heights > 0]):
            members = np.flatnonzero(heights == height)
            self._slots[members] = np.arange(len(members))
            self.groups.append(BlockGroup.empty(members, int(height), pool.n_columns, n_targets))
        self.n_whitenings = 0
        self.whiten()

    def whiten(self) -> None:
        """Compute the coordinates of all candidates from the present factor."""
        self.factor = self._posterior.factor()
        for first, heights, rows in self._pool.blocks():
            self._place(first, heights, whiten(rows, self.factor, overwrite=True))
        self.for_parts(BlockGroup.normalize)
        self._before = self.factor
        self._condition = balanced_condition(self.factor)
        self.n_picks = 0
        self.n_whitenings += 1

    def _place(self, first: int, heights: NDArray[np.int64], rows: FloatArray) -> None:
        """Sort whitened rows of consecutive candidates into their groups."""
        begins = np.cumsum(heights) - heights
        kept = self._heights[first : first + len(heights)]
        for group in self.groups:
            height = group.height
            here = np.flatnonzero(kept == height)
            if not len(here):
                continue
            # What is consecutive in the pool is consecutive in a group.
            slot = self._slots[first + here[0]]
            places = group.rows[slot : slot + len(here)]
            if height < self._pool.n_columns:
                wanted = begins[here, np.newaxis] + np.arange(height)
                np.take(rows, wanted, axis=0, out=places, mode="clip")
                continue
            blocks = [rows[begins[i] : begins[i] + heights[i]] for i in here]
            for_each(_reduce, list(zip(places, blocks, strict=True)), self._n_threads)

    def coordinates(self, index: int) -> FloatArray:
        """Coordinates of one candidate when the pool was whitened, shape (m, D), m at most D."""
        for group in self.groups:
            if group.height == self._heights[index]:
                slot = self._slots[index]
                coordinates: FloatArray = group.rows[slot] * group.lengths[slot][:, np.newaxis]
                return coordinates
        return np.empty((0, self._pool.n_columns))

    def correlate(self, targets: FloatArray) -> None:
        """Compute covariances with targets, whitened with `factor`, shape (T, D)."""
        self._targets = targets
        self.for_parts(lambda part: part.correlate(targets))

    def for_parts(self, function: Callable[[BlockGroup], None]) -> None:
        """Call a function for every part of the pool, the tallest blocks first."""
        parts = [part for group in reversed(self.groups) for part in group.parts()]
        for_each(function, parts, self._n_threads)

    def add(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Learn of a pick that has just been added to the posterior.

        With z the coordinates of a candidate in this frame and P the posterior in it before
        the pick, r = z P z_pᵀ L⁻ᵀ where L Lᵀ = I + z_p P z_pᵀ, and the candidate's
        covariances become Q − r rᵀ.

        Parameters
        ----------
        rows : ndarray of shape (m, D)
            Rows of the pick.

        Returns
        -------
        directions : ndarray of shape (p, D)
            L⁻¹ z_p P; p is at most D. Their products with rows of the pool are r.
        shares : ndarray of shape (p, T)
            Those with the targets.
        """
        # The thin Q of [I; zᵀ] holds zᵀ L⁻ᵀ, none of whose columns is longer than 1: with a
        # factor of the Hessian just before the pick, nothing here has lost any digits.
        z = at_most_square(whiten(rows, self._before))
        stacked = np.concatenate([np.eye(len(z)), z.T])
        directions = qr(stacked, mode="economic", check_finite=False)[0][len(z) :]
        if self.n_picks:
            directions = self.factor @ dtrsm(1.0, self._before, directions)
        self._before = self._posterior.factor()
        self._condition = max(self._condition, balanced_condition(self._before))
        self.n_picks += 1
        directions = np.ascontiguousarray(directions.T)
        return directions, directions @ self._targets.T

    @property
    def noise(self) -> float:
        """Relative error of a coordinate, and of what picks have done to it since."""
        width = float(np.sqrt(self.factor.shape[0]))
        steps = 8.0 * width + 4.0 * self.n_picks
        amplified = AMPLIFICATION * self._condition * float(np.sqrt(1.0 + self.n_picks))
        return _EPSILON * (steps + amplified)

    @property
    def gram_noise(self) -> float:
        """Relative error of covariances within a block.

        Freshly whitened, they are those of slightly wrong coordinates to rounding, however
        wrong those are.
        """
        if self.n_picks:
            return self.noise
        return 4.0 * _EPSILON * float(np.sqrt(self.factor.shape[0]))


def _reduce(pair: tuple[FloatArray, FloatArray]) -> None:
    """Put the rows that stand for a tall block, the second of the pair, into the first."""
    pair[0][:] = at_most_square(pair[1])
