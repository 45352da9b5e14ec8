"""Who proposes the next candidate: the greedy search, or an order fixed beforehand."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.blas_threads import one_blas_thread
from prcli.numerics.candidates import TIE, Effect, choose, effects
from prcli.numerics.objectives import Objective
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.numerics.row_source import RowSource
from prcli.numerics.screens import make_screen

FloatArray = NDArray[np.float64]

#: Shortlists longer than this share of the pool ask for a fresh whitening of the pool.
LONGEST_SHORTLIST = 1 / 16

#: Members of a shortlist for which one thread is as fast as many.
_FEW = 16

#: Members of a shortlist whose covariances are held at once, in float64 values.
_BATCH_ELEMENTS = 1 << 20


class Picker(Protocol):
    """Proposes the next candidate."""

    n_exact: int
    n_whitenings: int

    def propose(self) -> tuple[Effect, float]:
        """Return what the next pick does, and its margin."""
        ...

    def accept(self, effect: Effect) -> None:
        """Learn that the proposal has been added to the posterior."""
        ...


class GreedyPicker:
    """Proposes the candidate of the largest gain.

    Parameters
    ----------
    pool : RowSource
        Candidates, one row each.
    targets : TargetFrame
    posterior : Posterior
    objective : Objective
    weights : ndarray of shape (T,)
    n_to_select : int
        Picks that will be asked for, to plan the work.
    excluded : ndarray of bool of shape (C,), optional
        Candidates that may not be picked.
    """

    def __init__(
        self,
        pool: RowSource,
        targets: TargetFrame,
        posterior: Posterior,
        objective: Objective,
        weights: FloatArray,
        n_to_select: int,
        excluded: NDArray[np.bool_] | None = None,
    ) -> None:
        self._pool = pool
        self._targets = targets
        self._objective = objective
        self._weights = weights
        self._screen = make_screen(objective, pool, posterior, targets, weights, n_to_select)
        self._closed = np.zeros(pool.n_rows, dtype=bool) if excluded is None else excluded.copy()
        self.n_exact = 0
        self.n_whitenings = 0

    def propose(self) -> tuple[Effect, float]:
        """Screen all candidates, compute the gain of the best few, choose."""
        members = self._shortlist()
        long = len(members) > max(32, LONGEST_SHORTLIST * self._pool.n_rows)
        if long and len(self._screen.frame.chain):
            self._screen.refresh()
            members = self._shortlist()
        self.n_exact += len(members)
        return self._choose(members)

    def _shortlist(self) -> NDArray[np.intp]:
        """Candidates that can be the best or the runner-up, which the margin needs."""
        lower, upper = self._screen.bounds(self._targets.v, self._weights)
        np.putmask(lower, self._closed, -np.inf)
        first = int(lower.argmax())
        tolerance = TIE * abs(float(lower[first]))
        lower[first] = -np.inf
        reached = upper >= float(lower.max()) - tolerance
        reached &= ~self._closed
        return np.flatnonzero(reached)

    def _choose(self, members: NDArray[np.intp]) -> tuple[Effect, float]:
        """Choose among any number of members, in batches of bounded memory."""
        batch = max(2, _BATCH_ELEMENTS // max(1, self._pool.n_columns + len(self._targets.v)))
        finalists: list[Effect] = []
        # A fresh whitening of the targets in a later batch would put the finalists of an
        # earlier one into another frame; with several batches it is done beforehand.
        if len(members) > batch:
            self._targets.refresh()
        for start in range(0, len(members), batch):
            part = members[start : start + batch]
            rows = self._pool.take(part)
            with one_blas_thread() if len(part) <= _FEW else nullcontext():
                found = effects(
                    self._targets, self._objective, self._weights, part, rows, self._whitened(part)
                )
            finalists = _leaders(finalists + found)
        return choose(finalists, self._targets, self._objective, self._weights)

    def _whitened(self, members: NDArray[np.intp]) -> FloatArray | None:
        """Coordinates of candidates, if the pool was whitened together with the targets."""
        frame = self._screen.frame
        return frame.coordinates[members] if frame.factor is self._targets.factor else None

    def accept(self, effect: Effect) -> None:
        """Close the candidate and tell the screen."""
        self._closed[effect.index] = True
        if effect.step is None:
            raise ValueError("a pool of single rows cannot take a block")
        self._screen.add(effect.index, effect.step)
        self.n_whitenings = self._screen.frame.n_whitenings - 1


def _leaders(found: list[Effect]) -> list[Effect]:
    """Drop those that can neither win, nor tie, nor be the runner-up."""
    if len(found) <= 2:
        return found
    lower = sorted((effect.gain - effect.uncertainty for effect in found), reverse=True)
    floor = lower[1] - 2.0 * TIE * abs(lower[0])
    return _undominated([e for e in found if e.gain + e.uncertainty >= floor])


def _undominated(found: list[Effect]) -> list[Effect]:
    """Drop those that one of lower position and no lower gain beats, but for the best of them.

    Among many equal candidates two are enough: the first, and one to tell that it is tied.
    """
    kept: list[Effect] = []
    beaten: Effect | None = None
    largest = -np.inf
    for effect in sorted(found, key=lambda e: e.index):
        if effect.gain > largest or effect.uncertainty > 0.0:
            kept.append(effect)
        elif beaten is None or effect.gain > beaten.gain:
            beaten = effect
        if effect.uncertainty == 0.0:
            largest = max(largest, effect.gain)
    return kept if beaten is None else [*kept, beaten]


class ListPicker:
    """Proposes candidates in an order fixed beforehand, as baselines do."""

    def __init__(
        self,
        order: NDArray[np.intp],
        pool: RowSource,
        targets: TargetFrame,
        objective: Objective,
        weights: FloatArray,
    ) -> None:
        self._order = iter(order)
        self._pool = pool
        self._targets = targets
        self._objective = objective
        self._weights = weights
        self.n_exact = 0
        self.n_whitenings = 0

    def propose(self) -> tuple[Effect, float]:
        """Compute what the next in the order does."""
        indices = np.array([next(self._order)], dtype=np.intp)
        rows = self._pool.take(indices)
        found = effects(self._targets, self._objective, self._weights, indices, rows)
        self.n_exact += 1
        return found[0], float("nan")

    def accept(self, effect: Effect) -> None:
        """Need not learn anything."""
