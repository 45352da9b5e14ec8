"""Many small systems of equations: what blocks of one height do to targets and determinant.

The functions here use numpy; `block_kernels` holds their compiled twins for low blocks, where
each call of linear algebra has too little to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Height up to which the compiled loops are faster.
TALLEST_COMPILED = 64

#: Covariances times picks from which compiling pays.
COMPILE_FROM = 1e8


@dataclass(frozen=True)
class BlockLoops:
    """The loops of a selection that are written twice.

    Attributes
    ----------
    drops : callable
        As `drops`.
    log_det : callable
        As `log_det`.
    """

    drops: Callable[[FloatArray, FloatArray, FloatArray, FloatArray], None]
    log_det: Callable[[FloatArray, FloatArray, FloatArray], None]


def drops(S: FloatArray, K: FloatArray, drop: FloatArray, size: FloatArray) -> None:
    """Solve y = S⁻¹K for every block.

    Parameters
    ----------
    S : ndarray of shape (C, m, m)
        Positive definite; may be overwritten.
    K : ndarray of shape (C, m, T)
    drop : ndarray of shape (C, T)
        Filled with Kᵀy.
    size : ndarray of shape (C, T)
        Filled with Σ |y|.
    """
    y = np.linalg.solve(S, K)
    np.einsum("cit,cit->ct", K, y, out=drop)
    np.abs(y, out=y).sum(axis=1, out=size)


def log_det(S: FloatArray, gain: FloatArray, size: FloatArray) -> None:
    """Take the determinant of every block's matrix.

    Parameters
    ----------
    S : ndarray of shape (C, m, m)
        Positive definite; may be overwritten.
    gain : ndarray of shape (C,)
        Filled with log det S.
    size : ndarray of shape (C,)
        Filled with the sum of the roots of the diagonal of S⁻¹.
    """
    gain[:] = np.linalg.slogdet(S)[1]
    diagonal = np.einsum("cii->ci", np.linalg.inv(S))
    np.sqrt(np.maximum(diagonal, 0.0)).sum(axis=1, out=size)


def plain_loops() -> BlockLoops:
    """Return the loops written with numpy."""
    return BlockLoops(drops, log_det)


def compiled_loops() -> BlockLoops:
    """Return the compiled loops; their first calls on a machine compile and cache them."""
    from prcli.numerics import block_kernels

    return BlockLoops(block_kernels.drops, block_kernels.log_det)


def best_loops(height: int, n_covariances: int, n_to_select: int) -> BlockLoops:
    """Choose the compiled loops for low blocks where the work repays loading the compiler.

    Parameters
    ----------
    height : int
        Rows of a block.
    n_covariances : int
        Of all rows of such blocks, with each other and with the targets.
    n_to_select : int
    """
    worth = float(n_covariances) * n_to_select >= COMPILE_FROM
    return compiled_loops() if worth and height <= TALLEST_COMPILED else plain_loops()
