"""Which targets each pick of a selection helps, and by how much."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.numerics.rigidity import reciprocal

FloatArray = NDArray[np.float64]

#: Targets that are noted for each pick.
N_TOP = 3

#: Shares of a variance below this are rounding.
_NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Helped:
    """The targets that each of n picks helps most, the most helped first.

    Attributes
    ----------
    target : ndarray of shape (n, k)
        Positions among the targets; −1 where a pick helps fewer than k.
    share : ndarray of shape (n, k)
        Share of the target's 1/PR that the pick takes away, from 0 to 1.
    pr_before, pr_after : ndarray of shape (n, k)
        Rigidity of the target just before and just after the pick.
    """

    target: NDArray[np.int64]
    share: FloatArray
    pr_before: FloatArray
    pr_after: FloatArray

    def after(self, earlier: Self) -> Self:
        """Put those of earlier picks in front."""
        pairs = [(getattr(earlier, name), getattr(self, name)) for name in vars(self)]
        return type(self)(*(np.concatenate(pair) for pair in pairs))


class HelpWatch:
    """Looks at the targets after every pick.

    Attributes
    ----------
    indices : list of int
        The picks seen.
    """

    def __init__(self) -> None:
        self.indices: list[int] = []
        self._v: FloatArray = np.empty(0)
        self._found: list[tuple[NDArray[np.intp], FloatArray, FloatArray]] = []

    def begin(self, v: FloatArray) -> None:
        """Take the inverse rigidities of the targets, shape (T,), before the next pick."""
        self._v = v

    def note(self, index: int, v: FloatArray) -> None:
        """Take them after a pick."""
        before, self._v = self._v, v
        k = min(N_TOP, len(v))
        share = 1.0 - v / before
        top = np.argpartition(-share, k - 1)[:k] if k else np.empty(0, dtype=np.intp)
        top = top[np.lexsort([top, -share[top]])]
        self.indices.append(index)
        self._found.append((np.where(share[top] > _NOTHING, top, -1), before[top], v[top]))

    def helped(self) -> Helped:
        """Give what was seen."""
        shape = (len(self._found), min(N_TOP, len(self._v)))
        target, before, after = (
            np.array([each[part] for each in self._found]).reshape(shape) for part in range(3)
        )
        share = 1.0 - after / before
        return Helped(target.astype(np.int64), share, reciprocal(before), reciprocal(after))


def explain_picks(
    posterior: Posterior, target_rows: FloatArray, picks: Iterable[tuple[int, FloatArray]]
) -> Helped:
    """Add picks in their order, and note which targets each one helps.

    Parameters
    ----------
    posterior : Posterior
        As it was before the first pick; the picks are added to it.
    target_rows : ndarray of shape (T, D)
        None of them zero.
    picks : iterable of (int, ndarray of shape (m, D))
        Position and weighted rows of each pick.

    Returns
    -------
    helped : Helped
        k is 3, or T where there are fewer targets.
    """
    targets = TargetFrame(posterior, target_rows)
    watch = HelpWatch()
    watch.begin(targets.v)
    for index, rows in picks:
        targets.add(rows, targets.steps_of(rows)[0] if len(rows) == 1 else None)
        watch.note(index, targets.v)
    return watch.helped()
