"""The candidates of one rank among those of all, and what ranks tell each other at a pick.

Every rank screens its own candidates. The two best lower bounds of all say who is on a shortlist;
each rank computes the gains of its members, and rank 0 chooses among the leaders of all, so that
rounding, which differs between machines, cannot make ranks pick differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.candidates import TIE, Effect, leaders_of
from prcli.records import ALONE, Communicator

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PoolShare:
    """Consecutive candidates of a pool that one rank looks after.

    Attributes
    ----------
    n_own : int
        Candidates of this rank; there may be none.
    first : int
        Position in the whole pool of the first one.
    n_all : int
        Candidates of all ranks.
    communicator : Communicator
    """

    n_own: int
    first: int
    n_all: int
    communicator: Communicator

    @classmethod
    def whole(cls, n_all: int) -> PoolShare:
        """Make the share of the only rank."""
        return cls(n_all, 0, n_all, ALONE)

    @property
    def part(self) -> slice:
        """Own candidates in arrays over the whole pool."""
        return slice(self.first, self.first + self.n_own)

    def floor(self, lower: FloatArray) -> float:
        """Least upper bound of a candidate that can be the best of all or the runner-up.

        Parameters
        ----------
        lower : ndarray of shape (n_own,)
            Lower bounds of what candidates compete by, −inf for those that are closed;
            overwritten.
        """
        best = []
        for _ in range(min(2, len(lower))):
            place = int(lower.argmax())
            best.append(float(lower[place]))
            lower[place] = -np.inf
        if self.communicator.size > 1:
            best = [bound for bounds in self.communicator.gather_all(best) for bound in bounds]
        highest, second = sorted([*best, -np.inf, -np.inf], reverse=True)[:2]
        return second - TIE * abs(highest)

    def total(self, *counts: int) -> tuple[int, ...]:
        """Sum some numbers over all ranks."""
        if self.communicator.size == 1:
            return counts
        everyones = self.communicator.gather_all(counts)
        return tuple(sum(each) for each in zip(*everyones, strict=True))

    def some(self, flag: bool) -> bool:
        """Whether a flag is set on any rank."""
        return flag if self.communicator.size == 1 else any(self.communicator.gather_all(flag))

    def everyones(self, found: list[Effect]) -> list[Effect]:
        """Effects of candidates of all ranks that can win, tie, or be the runner-up.

        Those of several ranks come without `step`, which belongs to the frame of one, and without
        `v_new` where the gain is certain.
        """
        if self.communicator.size == 1:
            return found
        light = [_light(each) for each in leaders_of(found)]
        return [each for those in self.communicator.gather_all(light) for each in those]

    def choose(
        self, found: list[Effect], choose: Callable[[list[Effect]], tuple[Effect, float]]
    ) -> tuple[Effect, float]:
        """Let rank 0 choose among the candidates of all ranks.

        Parameters
        ----------
        found : list of Effect
            Those of this rank that may be chosen.
        choose : callable
            Gives the best one and its margin.

        Returns
        -------
        best : Effect
            The same on all ranks; see `everyones`.
        margin : float
        """
        if self.communicator.size == 1:
            return choose(found)
        finalists = _tied(self.everyones(found))
        chosen = choose(finalists) if self.communicator.rank == 0 else None
        chosen = self.communicator.broadcast(chosen)
        assert chosen is not None
        return chosen

    def rows_of(self, index: int, take: Callable[[int], FloatArray]) -> FloatArray:
        """Rows of a candidate of any rank, shape (m, D).

        Parameters
        ----------
        index : int
            Position in the whole pool.
        take : callable
            Gives the rows of an own candidate.
        """
        is_own = self.first <= index < self.first + self.n_own
        rows = take(index - self.first) if is_own else None
        return next(each for each in self.communicator.gather_all(rows) if each is not None)


def _light(effect: Effect) -> Effect:
    """Leave out what other ranks need not know."""
    v_new = effect.v_new if effect.uncertainty > 0.0 else effect.v_new[:0]
    return replace(effect, v_new=v_new, step=None)


def _tied(found: list[Effect]) -> list[Effect]:
    """Give candidates with the same row the same gain, whatever rank has computed it.

    Gains near rounding depend on how many candidates a rank has looked at together.
    """
    first: dict[bytes, Effect] = {}
    result = []
    for effect in sorted(found, key=lambda each: each.index):
        if len(effect.rows):
            twin = first.setdefault(effect.rows.tobytes(), effect)
            effect = replace(effect, gain=twin.gain, uncertainty=twin.uncertainty)
        result.append(effect)
    return result
