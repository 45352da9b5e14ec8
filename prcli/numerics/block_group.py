"""Candidates of one height, in whitened coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.overflow import refuse_candidate

FloatArray = NDArray[np.float64]

#: Numbers that the rows of one part of a group hold: about a cache.
PART_ELEMENTS = 1 << 18

#: Most candidates of one part.
PART_CANDIDATES = 1 << 10


def part_size(height: int, width: int) -> int:
    """Candidates that are worked on at a time."""
    return max(1, min(PART_CANDIDATES, PART_ELEMENTS // max(1, height * width)))


@dataclass(frozen=True, eq=False)
class BlockGroup:
    """Candidates of one height m.

    Attributes
    ----------
    members : ndarray of shape (C,)
        Positions in the pool.
    rows : ndarray of shape (C, m, D)
        Whitened rows, each divided by its length.
    lengths : ndarray of shape (C, m)
        √(1 + q), q the variance of the row when it was whitened.
    gram : ndarray of shape (C, m, m)
        Present covariances of the rows of a block, divided by the lengths.
    covariances : ndarray of shape (C, m, T)
        Present covariances with the targets, divided by the lengths.
    """

    members: NDArray[np.intp]
    rows: FloatArray
    lengths: FloatArray
    gram: FloatArray
    covariances: FloatArray

    @classmethod
    def empty(
        cls, members: NDArray[np.intp], height: int, width: int, n_targets: int
    ) -> BlockGroup:
        """Set memory aside."""
        n = len(members)
        return cls(
            members,
            np.empty((n, height, width)),
            np.empty((n, height)),
            np.empty((n, height, height)),
            np.empty((n, height, n_targets)),
        )

    @property
    def height(self) -> int:
        """Rows of each candidate."""
        return int(self.rows.shape[1])

    def parts(self) -> Iterator[BlockGroup]:
        """Yield the runs of candidates that are worked on at a time, as views."""
        n, height, width = self.rows.shape
        step = part_size(height, width)
        for start in range(0, n, step):
            run = slice(start, start + step)
            yield BlockGroup(
                self.members[run],
                self.rows[run],
                self.lengths[run],
                self.gram[run],
                self.covariances[run],
            )

    def normalize(self) -> None:
        """Divide rows that have just been whitened by their lengths, and multiply them."""
        with np.errstate(over="ignore", invalid="ignore"):
            variances = np.einsum("cij,cij->ci", self.rows, self.rows)
        finite = np.isfinite(variances).all(axis=1)
        if not finite.all():
            refuse_candidate(int(self.members[np.argmin(finite)]))
        np.sqrt(1.0 + variances, out=self.lengths)
        np.divide(self.rows, self.lengths[:, :, np.newaxis], out=self.rows)
        np.matmul(self.rows, self.rows.transpose(0, 2, 1), out=self.gram)

    def correlate(self, targets: FloatArray) -> None:
        """Compute covariances with whitened targets, shape (T, D)."""
        n, height, width = self.rows.shape
        flat = self.covariances.reshape(n * height, -1)
        np.matmul(self.rows.reshape(n * height, width), targets.T, out=flat)

    def advance(self, directions: FloatArray, shares: FloatArray) -> None:
        """Apply a pick to the covariances.

        Parameters
        ----------
        directions : ndarray of shape (p, D)
            As from `BlockFrame.add`; with r the products of the rows with them, the
            covariances of a block become Q − r rᵀ.
        shares : ndarray of shape (p, T)
            Products of the targets with them.
        """
        n, height, width = self.rows.shape
        # In this order the library is faster where directions are few.
        r = np.ascontiguousarray((directions @ self.rows.reshape(n * height, width).T).T)
        covariances = self.covariances.reshape(n * height, -1)
        covariances -= r @ shares
        r = r.reshape(n, height, -1)
        np.subtract(self.gram, r @ r.transpose(0, 2, 1), out=self.gram)
