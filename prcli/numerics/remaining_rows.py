"""Training rows of which some have been removed, read block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.block_effects import at_most_square
from prcli.numerics.block_source import BlockSource
from prcli.numerics.posterior import Posterior
from prcli.numerics.removal_frame import segment_sums
from prcli.numerics.rigidity import squared_norms, whiten
from prcli.numerics.square_root import SquareRoot

FloatArray = NDArray[np.float64]


class RemainingRows:
    """A training set that becomes smaller, under a fixed prior.

    Parameters
    ----------
    pool : BlockSource
        S training structures, each a block of weighted rows.
    fixed : ndarray of shape (D, D)
        Triangular factor of rows that stay in any case.
    prior_root : ndarray of shape (D,) or (D, D)
        F with FᵀF = P.
    regularizer : float
        ς².

    Attributes
    ----------
    kept : ndarray of bool of shape (S,)
        Structures that are still there.
    n_factorizations : int
        Passes over the rows to factorize them.
    """

    def __init__(
        self,
        pool: BlockSource,
        fixed: FloatArray,
        prior_root: FloatArray,
        regularizer: float,
    ) -> None:
        self._pool = pool
        self._fixed = fixed
        self._prior_root = prior_root
        self._regularizer = regularizer
        self.kept = np.ones(pool.n_blocks, dtype=bool)
        self.n_factorizations = 0

    @property
    def heights(self) -> NDArray[np.int64]:
        """Rows of each structure, shape (S,)."""
        return self._pool.heights

    @property
    def n_columns(self) -> int:
        """Width D of a row."""
        return self._pool.n_columns

    def posterior(self) -> Posterior:
        """Factorize the rows that are there afresh."""
        root = SquareRoot.from_factor(self._fixed)
        for _, _, rows in self._runs():
            root.add_rows(rows)
        self.n_factorizations += 1
        return Posterior(root.factor, self._prior_root, self._regularizer)

    def scores(self, factor: FloatArray, compressed: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Look at every structure in whitened coordinates.

        Parameters
        ----------
        factor : ndarray of shape (D, D)
            To whiten with.
        compressed : ndarray of shape (m, D)
            C with CᵀC = Σ W z_t z_tᵀ over whitened targets.

        Returns
        -------
        a_squared : ndarray of shape (S,)
            Σ W k² over targets and rows; infinite for what was removed.
        q : ndarray of shape (S,)
            Sum of the variances of the rows.
        """
        a_squared, q = np.full(len(self.kept), np.inf), np.zeros(len(self.kept))
        for members, heights, rows in self._runs():
            z = whiten(rows, factor, overwrite=True)
            a_squared[members] = segment_sums(squared_norms(z @ compressed.T), heights)
            q[members] = segment_sums(squared_norms(z), heights)
        return a_squared, q

    def whitened(
        self, indices: NDArray[np.intp], factor: FloatArray
    ) -> tuple[FloatArray, list[int]]:
        """Give whitened rows of some structures, and how many each has; no more than D."""
        blocks = [at_most_square(self._pool.take(int(index))) for index in indices]
        rows = np.concatenate([np.empty((0, self.n_columns)), *blocks])
        return whiten(rows, factor, overwrite=True), [len(block) for block in blocks]

    def take(self, index: int) -> FloatArray:
        """Rows of one structure."""
        return self._pool.take(index)

    def _runs(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64], FloatArray]]:
        """Yield (structures, heights, rows) of what is there."""
        for first, heights, rows in self._pool.blocks():
            kept = self.kept[first : first + len(heights)]
            if not kept.all():
                rows, heights = rows[np.repeat(kept, heights)], heights[kept]
            if len(heights):
                yield first + np.flatnonzero(kept), heights, rows
