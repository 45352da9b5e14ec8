"""Selections that do not look at the targets, to compare with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.rigidity import inverse_rigidities, squared_norms
from prcli.numerics.row_source import RowSource
from prcli.numerics.square_root import SquareRoot, with_prior

FloatArray = NDArray[np.float64]


def random_order(allowed: NDArray[np.intp], n_to_select: int, seed: int) -> NDArray[np.intp]:
    """Draw candidates without replacement, uniformly.

    Parameters
    ----------
    allowed : ndarray of shape (A,)
        Positions that may be drawn.
    n_to_select : int
    seed : int

    Returns
    -------
    order : ndarray of shape (n_to_select,)
    """
    generator = np.random.default_rng(seed)
    return generator.choice(allowed, size=n_to_select, replace=False, shuffle=True)


def farthest_point_order(
    pool: RowSource, allowed: NDArray[np.bool_], n_to_select: int
) -> NDArray[np.intp]:
    """Farthest-point sampling in the space of scaled features.

    The first point is the one farthest from the mean of the allowed ones, so that nothing
    is left to chance; each next one is farthest from its nearest chosen neighbour
    (Cersonsky2021). Distances are differences of rows, squared and summed: no expansion
    that would cancel.

    Parameters
    ----------
    pool : RowSource
        Scaled rows.
    allowed : ndarray of bool of shape (C,)
    n_to_select : int

    Returns
    -------
    order : ndarray of shape (n_to_select,)
    """
    total = np.zeros(pool.n_columns)
    for start, rows in pool.blocks():
        total += rows[allowed[start : start + len(rows)]].sum(axis=0)
    reference = total / np.count_nonzero(allowed)
    order = np.empty(n_to_select, dtype=np.intp)
    order[0] = np.argmax(np.where(allowed, _distances(pool, reference), -np.inf))
    nearest = np.where(allowed, np.inf, -np.inf)
    for step in range(1, n_to_select):
        nearest[order[step - 1]] = -np.inf
        reference = pool.take([int(order[step - 1])])[0]
        np.minimum(nearest, _distances(pool, reference), out=nearest)
        order[step] = np.argmax(nearest)
    return order


def _distances(pool: RowSource, reference: FloatArray) -> FloatArray:
    result = np.empty(pool.n_rows)
    for start, rows in pool.blocks():
        rows -= reference
        result[start : start + len(rows)] = squared_norms(rows)
    return result


def leverage_order(
    pool: RowSource,
    allowed: NDArray[np.bool_],
    prior_root: FloatArray,
    regularizer: float,
    n_to_select: int,
) -> NDArray[np.intp]:
    """Candidates of highest ridge leverage in the pool itself, highest first.

    The leverage of g is gᵀ(GᵀG + ς²P)⁻¹g with G the allowed rows: the scores of a CUR
    decomposition, taken once.

    Parameters
    ----------
    pool : RowSource
        Rows in the scale of the prior.
    allowed : ndarray of bool of shape (C,)
    prior_root : ndarray of shape (D,) or (D, D)
    regularizer : float
    n_to_select : int

    Returns
    -------
    order : ndarray of shape (n_to_select,)
    """
    root = SquareRoot(pool.n_columns)
    for start, rows in pool.blocks():
        root.add_rows(rows[allowed[start : start + len(rows)]])
    factor = with_prior(root.factor, prior_root, regularizer)
    leverage = np.full(pool.n_rows, -np.inf)
    for start, rows in pool.blocks():
        leverage[start : start + len(rows)] = inverse_rigidities(rows, factor, overwrite=True)
    leverage[~allowed] = -np.inf
    return np.argsort(-leverage, kind="stable")[:n_to_select]
