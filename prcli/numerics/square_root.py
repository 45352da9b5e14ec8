"""The Hessian as a triangular factor R with RᵀR = H, built by QR and never by XᵀX.

Squaring a matrix squares its condition number: at the regularizers that the field uses
half of the digits of a rigidity would be lost before the first one is computed.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svdvals
from scipy.linalg.lapack import dtrcon

from prcli.errors import RankError
from prcli.numerics.blas_threads import one_blas_thread
from prcli.numerics.part_threads import for_each
from prcli.numerics.tpqrt import tpqrt

FloatArray = NDArray[np.float64]

#: Rows that one call of LAPACK takes. Large enough that matrix products dominate, small
#: enough that the buffer stays in the cache for the usual numbers of features.
BLOCK_ROWS = 1024

#: Rows, or columns, for which one thread of linear algebra is as fast as many, or faster.
_FEW_ROWS = 32
_FEW_COLUMNS = 768

#: Sums that grow side by side where columns are few, each on a thread of its own, and rows times
#: squared columns of one call from which it is worth it.
N_LANES = 8
_WORTHWHILE = 1 << 26


class SquareRoot:
    """Upper-triangular factor of a sum of outer products of rows.

    Parameters
    ----------
    n_columns : int
        Width D of the rows.

    Attributes
    ----------
    factor : ndarray of shape (D, D), Fortran order
        Upper-triangular R with RᵀR = Σ c g gᵀ over the rows added so far. The signs of its
        diagonal are not fixed.
    """

    def __init__(self, n_columns: int) -> None:
        self._lanes = [Lane(np.zeros((n_columns, n_columns), order="F"))]

    @property
    def factor(self) -> FloatArray:
        """The triangular factor; the lanes are merged, in their order."""
        first, *others = self._lanes
        for lane in others:
            first.absorb(lane.factor, triangular=True)
        self._lanes = [first]
        return first.factor

    @classmethod
    def from_factor(cls, factor: FloatArray) -> SquareRoot:
        """Start from a copy of an upper-triangular factor of shape (D, D)."""
        root = cls(0)
        root._lanes = [Lane(np.array(factor, dtype=np.float64, order="F"))]
        return root

    @property
    def n_columns(self) -> int:
        """Width D of the rows."""
        return int(self._lanes[0].factor.shape[0])

    def add_rows(
        self, rows: NDArray[np.floating], weights: NDArray[np.floating] | None = None
    ) -> None:
        """Add c g gᵀ for every row g, in place.

        Parameters
        ----------
        rows : ndarray of shape (M, D)
            Left as they are; float32 is converted block by block.
        weights : ndarray of shape (M,), optional
            Non-negative weights c, 1 by default.
        """
        starts = range(0, rows.shape[0], BLOCK_ROWS)
        n_columns = self.n_columns
        n_lanes = min(N_LANES, len(starts))
        # Which block goes where depends on the sizes alone: results are the same on any machine.
        if n_columns > _FEW_COLUMNS or rows.shape[0] * n_columns**2 < _WORTHWHILE or n_lanes < 2:
            self._lanes[0].add(rows, weights, starts)
            return
        while len(self._lanes) < n_lanes:
            self._lanes.append(Lane(np.zeros((n_columns, n_columns), order="F")))
        for_each(
            lambda number: self._lanes[number].add(rows, weights, starts[number::n_lanes]),
            range(n_lanes),
        )

    def merge(self, factor: FloatArray) -> None:
        """Add FᵀF for an upper-triangular `factor` F of shape (D, D), in place."""
        block = np.array(factor, dtype=np.float64, order="F")
        self._lanes[0].absorb(block, triangular=True)

    def merge_diagonal(self, diagonal: FloatArray) -> None:
        """Add the squares of `diagonal`, shape (D,), to the diagonal, in place."""
        block = np.zeros((self.n_columns, self.n_columns), order="F")
        np.fill_diagonal(block, diagonal)
        self._lanes[0].absorb(block, triangular=True)


class Lane:
    """A sum that one thread at a time adds to.

    Parameters
    ----------
    factor : ndarray of shape (D, D), Fortran order
        Upper-triangular, overwritten.
    """

    def __init__(self, factor: FloatArray) -> None:
        self.factor = factor
        self._buffer: FloatArray = np.empty((0, factor.shape[1]), order="F")

    def add(
        self,
        rows: NDArray[np.floating],
        weights: NDArray[np.floating] | None,
        starts: Iterable[int],
    ) -> None:
        """Add the blocks of rows that begin at `starts`."""
        for start in starts:
            stop = min(start + BLOCK_ROWS, rows.shape[0])
            block = self._scratch(stop - start)
            block[:] = rows[start:stop]
            if weights is not None:
                block *= np.sqrt(weights[start:stop, np.newaxis])
            self.absorb(block, triangular=False)

    def _scratch(self, n_rows: int) -> FloatArray:
        if self._buffer.shape[0] != n_rows:
            self._buffer = np.empty((n_rows, self._buffer.shape[1]), order="F")
        return self._buffer

    def absorb(self, block: FloatArray, *, triangular: bool) -> None:
        """Factorize [R; block] and keep the triangle; `block` is overwritten."""
        n_rows, n_columns = block.shape
        if not block.size:
            return
        is_small = n_rows <= _FEW_ROWS or n_columns <= _FEW_COLUMNS
        with one_blas_thread() if is_small else nullcontext():
            tpqrt(self.factor, block, triangular=triangular)


def with_prior(data_factor: FloatArray, prior_root: FloatArray, regularizer: float) -> FloatArray:
    """Factor of H = RᵀR + ς² FᵀF.

    The data stand on top of the prior because Householder reflections keep small rows
    accurate when large ones come first.

    Parameters
    ----------
    data_factor : ndarray of shape (D, D)
        Upper-triangular R of the weighted, scaled rows.
    prior_root : ndarray of shape (D,) or (D, D)
        F with FᵀF = P: the diagonal of F, or an upper-triangular F.
    regularizer : float
        ς², not negative.

    Returns
    -------
    factor : ndarray of shape (D, D), Fortran order

    Raises
    ------
    RankError
        If H is singular to working precision.
    """
    root = SquareRoot.from_factor(data_factor)
    if regularizer > 0.0:
        merge = root.merge_diagonal if prior_root.ndim == 1 else root.merge
        merge(np.sqrt(regularizer) * prior_root)
    require_full_rank(root.factor, regularizer)
    return root.factor


def require_full_rank(factor: FloatArray, regularizer: float) -> None:
    """Refuse a factor whose columns, brought to unit length, are dependent."""
    n_columns = factor.shape[0]
    if n_columns == 0:
        return
    tolerance = n_columns * np.finfo(np.float64).eps
    if balanced_condition(factor) < 10.0 / tolerance:
        return
    singular = svdvals(_balanced(factor))
    rank = int(np.count_nonzero(singular > tolerance * singular[0])) if singular[0] > 0 else 0
    if rank == n_columns:
        return
    raise RankError(
        f"the Hessian is singular: rank {rank} of {n_columns}",
        where=f"regularizer {regularizer:g}",
        expected=f"{n_columns} independent directions in training rows and prior",
        got=f"rank {rank}",
        remedy="give a larger --regularizer (or auto), or more varied training structures; "
        "an intercept that no training structure determines must be left out",
    )


def _balanced(factor: FloatArray) -> FloatArray:
    """Columns of a factor brought to unit length; columns of zeros stay."""
    norms = np.sqrt(np.einsum("ij,ij->j", factor, factor))
    return np.asfortranarray(factor / np.where(norms > 0.0, norms, 1.0))


def balanced_condition(factor: FloatArray) -> float:
    """Estimate the condition number in the one-norm once all columns have unit length.

    This one, which no units of the columns change, is what rounding is amplified by in
    solutions of triangular systems.
    """
    if factor.shape[0] == 0:
        return 1.0
    inverse = float(dtrcon(_balanced(factor))[0])
    return 1.0 / inverse if inverse > 0.0 else float("inf")


def condition_number(factor: FloatArray) -> float:
    """Two-norm condition number of a triangular factor; that of H is its square."""
    if factor.shape[0] == 0:
        return 1.0
    singular = svdvals(factor)
    return float(singular[0] / singular[-1]) if singular[-1] > 0.0 else float("inf")
