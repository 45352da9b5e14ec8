"""Backward elimination: remove training structures one by one, the least missed first.

The whole set is looked at once in a while, in whitened coordinates; a shortlist of the structures
that would be missed least is then worked on alone, as long as a bound shows that nothing outside
it would be missed less. So the removals are those of looking at everything at every step, and
nothing of the size of the set squared is held, nor the set itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky
from scipy.linalg.blas import dtrmm

from prcli.numerics.block_effects import triangle_of
from prcli.numerics.remaining_rows import RemainingRows
from prcli.numerics.removal_bounds import OutsideBound
from prcli.numerics.removal_frame import RemovalFrame
from prcli.numerics.removal_objectives import RemovalObjective
from prcli.numerics.rigidity import squared_norms, whiten

FloatArray = NDArray[np.float64]

#: Losses that differ by less, relative to the smaller, are tied: the highest position goes.
TIE = 1e-9

#: Losses below this share of what they are lost from are none.
NO_LOSS = 1e-13

#: Growth of the posterior, as the largest eigenvalue of E, up to which a factor is downdated: what
#: is left of every direction is at least half, and no digits are lost.
SAFE_GROWTH = 1.0

#: Rounds after which the rows that are left are factorized afresh.
LONGEST_CHAIN = 16

#: Numbers that a shortlist holds, and the structures that it has at least.
SHORTLIST_ELEMENTS = 1 << 21
_SHORTEST = 64


@dataclass(frozen=True)
class Removals:
    """What was removed.

    Attributes
    ----------
    indices : tuple of int
        Structures in the order of their removal.
    means : tuple of float
        The mean rigidity after each removal as downdates give it.
    stopped : str
        "n_to_keep"; "max_loss": another removal would lose too much; or "needed": without any
        of those that are left the Hessian would be singular.
    n_rounds : int
        How often the whole set was looked at.
    """

    indices: tuple[int, ...]
    means: tuple[float, ...]
    stopped: str
    n_rounds: int


class BackwardElimination:
    """Removes structures as long as the loss allows it.

    Parameters
    ----------
    rows : RemainingRows
        Removed structures are marked in it.
    target_rows : ndarray of shape (T, D)
        None of them zero.
    objective : RemovalObjective
    weights : ndarray of shape (T,)
        Positive, sum 1.
    on_removal : callable, optional
        Called with the number of removals after each of them.
    """

    def __init__(
        self,
        rows: RemainingRows,
        target_rows: FloatArray,
        objective: RemovalObjective,
        weights: FloatArray,
        on_removal: Callable[[int], None] | None = None,
    ) -> None:
        self._rows = rows
        self._target_rows = target_rows
        self._objective = objective
        self._weights = weights
        self._on_removal = on_removal
        self._indices: list[int] = []
        self._means: list[float] = []
        self._n_rounds = 0

    def run(self, n_to_keep: int, max_loss: float | None = None) -> Removals:
        """Remove structures.

        Parameters
        ----------
        n_to_keep : int
            Structures that stay at least.
        max_loss : float, optional
            Largest share of the mean rigidity at the beginning that may be lost.

        Returns
        -------
        removals : Removals
        """
        factor = self._rows.posterior().factor()
        v = squared_norms(whiten(self._target_rows, factor))
        least = -np.inf
        if max_loss is not None:
            least = self._objective.mean(v, self._weights) * (1.0 - max_loss)
        n_chained = 0
        growing = 1
        while (stopped := self._at_end(n_to_keep)) is None:
            round_ = self._begin(factor, growing)
            n_before = len(self._indices)
            stopped = self._work(round_, n_to_keep, least)
            if stopped is not None:
                break
            # A shortlist in which nothing could be shown to be missed least was too short.
            growing = 2 * growing if len(self._indices) == n_before else 1
            if not self._is_unsafe(round_.frame) and n_chained < LONGEST_CHAIN:
                factor = downdated(factor, round_.frame.removed)
                n_chained += 1
            else:
                factor, n_chained = self._rows.posterior().factor(), 0
        return Removals(tuple(self._indices), tuple(self._means), stopped, self._n_rounds)

    def _at_end(self, n_to_keep: int) -> str | None:
        n_kept = int(np.count_nonzero(self._rows.kept))
        return "n_to_keep" if n_kept <= n_to_keep else None

    def _begin(self, factor: FloatArray, growing: int) -> _Round:
        """Look at everything, and choose a shortlist."""
        targets = whiten(self._target_rows, factor)
        v = squared_norms(targets)
        importance = self._objective.importance(v, self._weights)
        compressed = np.sqrt(importance)[:, np.newaxis] * targets
        if compressed.shape[0] > compressed.shape[1]:
            compressed = triangle_of(compressed)
        a_squared, q = self._rows.scores(factor, compressed)
        floor = NO_LOSS * self._objective.scale(v, self._weights)
        kept = np.flatnonzero(self._rows.kept)
        order = kept[np.lexsort([-kept, np.maximum(a_squared[kept], floor)])]
        heights = np.minimum(self._rows.heights[order], self._rows.n_columns)
        per_row = self._rows.n_columns + 2 * len(v)
        n_fit = int(np.searchsorted(np.cumsum(heights * per_row), growing * SHORTLIST_ELEMENTS))
        n = max(n_fit, growing * _SHORTEST)
        chosen, outside = np.sort(order[:n]), order[n:]
        rows, counts = self._rows.whitened(chosen, factor)
        self._n_rounds += 1
        return _Round(
            RemovalFrame(chosen, rows, counts, targets, compressed, self._objective, self._weights),
            OutsideBound(a_squared[outside], q[outside]),
            floor,
        )

    def _work(self, round_: _Round, n_to_keep: int, least: float) -> str | None:
        """Remove what can be removed from the shortlist; say why all is done, if it is."""
        frame = round_.frame
        n_kept = int(np.count_nonzero(self._rows.kept))
        mean = self._objective.mean(frame.v, self._weights)
        while n_kept > n_to_keep and frame.n_open:
            members, losses = frame.losses(round_.floor)
            best = float(losses.min())
            if not self._is_least(round_, best):
                return None
            if not np.isfinite(best):
                return "needed"
            if self._objective.mean_after(mean, best) < least:
                return "max_loss"
            tied = members[losses <= best * (1.0 + TIE) + round_.floor]
            member = int(tied[np.argmax(frame.numbers[tied])])
            index = int(frame.numbers[member])
            frame.remove(member)
            self._rows.kept[index] = False
            mean = self._objective.mean(frame.v, self._weights)
            self._indices.append(index)
            self._means.append(mean)
            n_kept -= 1
            if self._on_removal is not None:
                self._on_removal(len(self._indices))
            if self._is_unsafe(frame):
                return None
        return None

    @staticmethod
    def _is_least(round_: _Round, loss: float) -> bool:
        """Whether nothing outside the shortlist can lose as little."""
        if loss <= round_.floor:
            return True
        while True:
            bound = round_.outside.least(*round_.frame.change())
            if np.isinf(bound) or loss * (1.0 + TIE) + round_.floor < bound:
                return True
            if not round_.frame.tighten():
                return False

    @staticmethod
    def _is_unsafe(frame: RemovalFrame) -> bool:
        """Whether the next factor should not be a downdate of more."""
        while frame.growth > SAFE_GROWTH:
            if not frame.tighten():
                return True
        return False


@dataclass(frozen=True, eq=False)
class _Round:
    """A shortlist, and what bounds the losses of everything else."""

    frame: RemovalFrame
    outside: OutsideBound
    floor: float


def downdated(factor: FloatArray, removed: Sequence[FloatArray]) -> FloatArray:
    """Factor of the Hessian without some rows, of which at most half of any direction is made.

    Parameters
    ----------
    factor : ndarray of shape (D, D)
        Upper-triangular R.
    removed : sequence of ndarray of shape (m, D)
        Rows in coordinates whitened with `factor`.

    Returns
    -------
    factor : ndarray of shape (D, D)
    """
    rows = np.concatenate([np.empty((0, factor.shape[1])), *removed])
    if not len(rows):
        return factor
    rest = cholesky(np.eye(factor.shape[1]) - rows.T @ rows, check_finite=False)
    product: FloatArray = dtrmm(1.0, rest, factor)
    return np.asfortranarray(np.triu(product))
