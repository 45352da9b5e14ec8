"""Selections that do not look at the targets, to compare with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.rigidity import inverse_rigidities, squared_norms
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


def farthest_point_order(
    pool: RowSource, allowed: NDArray[np.bool_], n_to_select: int
) -> NDArray[np.intp]:
    """Positions of farthest points among allowed ones, as `FarthestOrder` proposes them.

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
    points = FarthestOrder(pool, allowed)
    closed = ~allowed
    order = np.empty(n_to_select, dtype=np.intp)
    for step in range(n_to_select):
        order[step] = points.first(closed)
        closed[order[step]] = True
        points.accept(int(order[step]))
    return order


class FarthestOrder:
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
    chosen : iterable of int
        Positions of points that are chosen already.
    """

    def __init__(
        self, pool: RowSource, allowed: NDArray[np.bool_], chosen: Iterable[int] = ()
    ) -> None:
        self._pool = pool
        self._allowed = allowed
        self._nearest = np.full(pool.n_rows, np.inf)
        self._chosen = list(chosen)
        self._n_seen = 0

    def first(self, closed: NDArray[np.bool_]) -> int:
        """Position of the farthest point that is open."""
        for index in self._chosen[self._n_seen :]:
            distances = _distances(self._pool, self._pool.take([index])[0])
            np.minimum(self._nearest, distances, out=self._nearest)
        self._n_seen = len(self._chosen)
        far = self._nearest if self._n_seen else _distances(self._pool, self._mean())
        return int(np.argmax(np.where(closed, -np.inf, far)))

    def accept(self, index: int) -> None:
        """Learn of a pick; distances from it are computed when they are needed."""
        self._chosen.append(index)

    def _mean(self) -> FloatArray:
        """Mean of the allowed points."""
        total = np.zeros(self._pool.n_columns)
        for start, rows in self._pool.blocks():
            total += rows[self._allowed[start : start + len(rows)]].sum(axis=0)
        return np.asarray(total / np.count_nonzero(self._allowed))


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
