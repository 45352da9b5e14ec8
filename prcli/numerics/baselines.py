"""Selections that do not look at the targets, to compare with; see `farthest`, too."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.rigidity import inverse_rigidities
from prcli.numerics.row_source import RowSource
from prcli.numerics.square_root import SquareRoot, with_prior

FloatArray = NDArray[np.float64]


class Order(Protocol):
    """Proposes candidates one by one, as long as there are open ones."""

    def first(self, closed: NDArray[np.bool_]) -> int:
        """Position of the next candidate, one that is not closed; `closed` has shape (C,)."""
        ...

    def accept(self, index: int) -> None:
        """Learn of a pick."""
        ...


class FixedOrder:
    """An order that picks do not change.

    Parameters
    ----------
    order : ndarray of shape (n,)
        Positions in the pool.
    """

    def __init__(self, order: NDArray[np.intp]) -> None:
        self._order = order
        self._n_picked = 0

    def first(self, closed: NDArray[np.bool_]) -> int:
        """Position of the first that is open."""
        ahead = self._order[self._n_picked : self._n_picked + 1]
        if ahead.size and not closed[ahead[0]]:
            return int(ahead[0])
        is_open = ~closed[self._order]
        if not is_open.any():
            raise ValueError("no candidate of the order is open")
        return int(self._order[np.argmax(is_open)])

    def accept(self, index: int) -> None:
        """Go on behind a pick that was the next one."""
        if self._n_picked < len(self._order) and index == self._order[self._n_picked]:
            self._n_picked += 1


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
