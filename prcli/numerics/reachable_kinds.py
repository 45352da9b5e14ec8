"""Kinds of candidates of which one may be picked so that all demands can still be met.

One plan answers for most kinds at once: for its own, for those that it has room for, and for those
that can take the place of one of its own. It stays a plan when one of them is picked. Only what is
in doubt then costs an integer program; what one has ruled out stays ruled out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.pick_plans import Demands, additions, find_plan, substitutes

IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: A kind that the plan holds or has room for, and one that it does not answer for.
_WITH, _UNKNOWN = -1, -2


class ReachableKinds:
    """Follows the picks with a plan for the rest.

    Parameters
    ----------
    n_kinds : int
    """

    def __init__(self, n_kinds: int) -> None:
        self._plan: IntArray | None = None
        self._ways = np.full(n_kinds, _UNKNOWN, dtype=np.int64)
        self._spoiling = np.zeros(n_kinds, dtype=bool)

    def find(self, demands: Demands) -> Mask | None:
        """Find the kinds, shape (K,); None if the demands cannot be met at all."""
        plan = self._plan
        if plan is None or not demands.are_met_by(plan):
            plan = find_plan(demands)
        self._plan = plan
        if plan is None:
            return None
        self._ways = _ways(demands, plan)
        reachable = self._ways > _UNKNOWN
        doubtful = (demands.available > 0) & ~reachable & ~self._spoiling
        if doubtful.any():
            self._rule_out(demands, doubtful)
        for kind in np.flatnonzero(doubtful & ~self._spoiling).tolist():
            if reachable[kind]:
                continue
            other = find_plan(demands, kind)
            if other is None:
                self._spoiling[kind] = True
            else:
                reachable |= _ways(demands, other) > _UNKNOWN
        return reachable

    def accept(self, kind: int) -> None:
        """Learn of a pick of some kind."""
        plan, way = self._plan, int(self._ways[kind])
        if plan is None or way == _UNKNOWN:
            self._plan = None
            return
        self._plan = plan = plan.copy()
        if plan[kind]:
            plan[kind] -= 1
        elif way >= 0:
            plan[way] -= 1

    def _rule_out(self, demands: Demands, doubtful: Mask) -> None:
        """Rule out kinds that no floor asks for where no pick is to spare."""
        fewest = find_plan(demands.at_most())
        if fewest is not None and fewest.sum() == demands.n_left:
            asked = demands.belongs[demands.least > 0].any(axis=0)
            self._spoiling |= doubtful & ~asked


def _ways(demands: Demands, plan: IntArray) -> IntArray:
    """How a plan answers for each kind, shape (K,): `_WITH`, the kind it replaces, or not."""
    ways = np.full(demands.n_kinds, _UNKNOWN, dtype=np.int64)
    for kind in np.flatnonzero(plan).tolist():
        ways[substitutes(demands, plan, kind)] = kind
    ways[(plan > 0) | additions(demands, plan)] = _WITH
    return ways
