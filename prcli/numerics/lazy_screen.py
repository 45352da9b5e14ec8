"""A screen for the determinant that looks at few candidates a pick.

The gain log(1 + q) of a candidate only falls as others are picked (the determinant is
submodular), so a gain of some picks ago bounds the present one. A pick applies itself to nobody;
candidates whose old gain still reaches the best are brought up to date, all picks that they have
missed in one matrix product. On descriptors of some ten thousand environments (Si and Ta, SOAP,
ς² from 1e-3 to 1e-5) that is 3 to 5 % of the pool at a pick, of some hundred structures 10 to
20 %, and of 60,000 random rows 0.2 %.

Why there is no such screen for the other objectives
----------------------------------------------------
Their gains can grow. With σ the largest singular value of the matrix of the k of the picks since,
|K_c| has grown by σ √q_c at most; that and gain ≤ (Σ v) q/(1 + q), made as sharp as the two allow
(q lost to the picks is at most what leaves both equal), still left 65 to 97 % of the same Si and Ta
pools to be looked at for `mean-variance`, and all of the random one: a bound by lengths alone
cannot know that most rows are nearly perpendicular to a pick. What does know is a few leading
coordinates of each row: with 32 directions of 180 (the eigenvectors of Z_CᵀZ_C and Z_TᵀZ_T, each
over its trace, added up) kept up to date for everybody, and a bound on the rest by lengths, 1 to
19 % have to be looked at, with 64 directions 0.02 to 0.3 %, and 8 % of the random rows. That
is a sketch of the pool rather than an old gain, and not written yet.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.candidates import TIE
from prcli.numerics.pool_frame import PoolFrame
from prcli.numerics.posterior import RowStep

FloatArray = NDArray[np.float64]

#: Candidates that are brought up to date first.
FIRST_LOOK = 64

#: Shares of the pool from which everybody is brought up to date at once: rows that have to be
#: fetched one by one from a store cost many times what they cost in a run.
_LARGE_SHARE = 1 / 4
_LARGE_SHARE_STREAMED = 1 / 32

#: Numbers that are looked at together.
LOOK_ELEMENTS = 1 << 20


class LazyDetScreen:
    """Screen for the determinant whose bounds may be old.

    Parameters
    ----------
    frame : PoolFrame
    worth : callable
        Gives (C,) what a unit of gain is worth now: one over the cost, 0 for who may not be picked.

    Attributes
    ----------
    n_looks : int
        Candidates that have been brought up to date.
    """

    def __init__(
        self,
        frame: PoolFrame,
        worth: Callable[[], FloatArray],
    ) -> None:
        self.frame = frame
        self._worth = worth
        self._upper: FloatArray = np.empty(len(frame.q))
        self._seen: NDArray[np.int32] = np.empty(len(frame.q), dtype=np.int32)
        self.n_looks = 0
        self.refresh()

    def refresh(self) -> None:
        """Whiten afresh."""
        self.frame.whiten()
        self._directions: list[FloatArray] = []
        self._seen[:] = 0
        self._upper[:] = self._bounds(slice(None))[1]

    def add(self, rows: FloatArray, step: RowStep) -> None:
        """Remember a pick."""
        entry = self.frame.enter(rows[0], step)
        if entry is None:
            self.refresh()
        else:
            self._directions.append(entry.direction)

    def bounds(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bring up to date who may be the best or the runner-up; bound log(1 + q) for all."""
        worth, n_picks = self._worth(), len(self._directions)
        lower = np.where(worth > 0.0, 0.0, -np.inf)
        # Who has not been looked at, by what it can have gained in merit at most.
        unseen = np.where(worth > 0.0, self._upper * worth, -np.inf)
        known = np.flatnonzero((self._seen == n_picks) & (worth > 0.0))
        lower[known] = self._bounds(known)[0] * worth[known]
        unseen[known] = -np.inf
        members = _largest(unseen, FIRST_LOOK)
        while members.size:
            members = self._look(members)
            members = members[worth[members] > 0.0]
            lower[members] = self._bounds(members)[0] * worth[members]
            unseen[members] = -np.inf
            known = np.concatenate([known, members])
            floor = _floor(lower[known])
            members = np.flatnonzero((unseen >= floor) & (unseen > -np.inf))
        return lower, np.where(worth > 0.0, self._upper * worth, -np.inf)

    def _look(self, members: NDArray[np.intp]) -> NDArray[np.intp]:
        """Apply to some candidates, or to all, the picks that they have missed; tell to whom."""
        n_all = len(self._upper)
        large = _LARGE_SHARE if self.frame.is_held else _LARGE_SHARE_STREAMED
        everybody = len(members) > large * n_all
        if everybody:
            members = np.flatnonzero(self._seen < len(self._directions))
        first = int(self._seen[members].min())
        missed = np.array(self._directions[first:]).T
        if everybody:
            everyone = np.arange(n_all)
            for part, (products,) in self.frame.products([missed], self._height(missed)):
                self._apply(everyone[part], products, first)
        else:
            height = self._height(missed)
            for start in range(0, len(members), height):
                some = members[start : start + height]
                self._apply(some, self.frame.products_of(some, missed), first)
        self._seen[members] = len(self._directions)
        self._upper[members] = np.minimum(self._upper[members], self._bounds(members)[1])
        self.n_looks += len(members)
        return members

    @staticmethod
    def _height(missed: FloatArray) -> int:
        """Candidates whose rows and products with some picks (D, m) are held at once."""
        n_columns, n_picks = missed.shape
        height: int = LOOK_ELEMENTS // max(1, n_columns, n_picks)
        return max(1, height)

    def _apply(self, members: NDArray[np.intp], r: FloatArray, first: int) -> None:
        """Apply picks from the `first` on, r of shape (n, m), to candidates that lack some."""
        missed = np.arange(first, first + r.shape[1]) >= self._seen[members, np.newaxis]
        lost = np.einsum("cm,cm,cm->c", r, r, missed)
        q = self.frame.q
        q[members] = np.maximum(q[members] - lost, 0.0)

    def _bounds(self, members: NDArray[np.intp] | slice) -> tuple[FloatArray, FloatArray]:
        """Bound the gains of candidates by their variances when they were up to date."""
        least, most = self.frame.limits(members)
        noise = self.frame.noise / (1.0 + self.frame.q[members])
        return np.log1p(least) - noise, np.log1p(most) + noise


def _floor(lower: FloatArray) -> float:
    """Least upper bound of who can be the best or the runner-up, by those up to date."""
    if len(lower) < 2:
        return -np.inf
    second, best = np.partition(lower, -2)[-2:]
    return float(second) - TIE * abs(float(best))


def _largest(values: FloatArray, n: int) -> NDArray[np.intp]:
    """Positions of the largest values above −∞, `n` at most."""
    places = np.argpartition(values, -n)[-n:] if len(values) > n else np.arange(len(values))
    largest: NDArray[np.intp] = places[values[places] > -np.inf]
    return largest
