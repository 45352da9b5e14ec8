"""Which candidates may be picked next: budget, floors and ceilings of groups, distances.

A candidate is open if it is within what is left of the budget and of the ceilings of its groups,
is not too near to what is chosen, and all floors can still be met after it by the picks, and with
the money, that are left. By number this is exact, whatever groups overlap (see `pick_plans`).
Where floors and a budget go together, a candidate is taken to spoil the floors unless there is room
for it in the cheapest way to meet them, or in the place of one member: always safe, though a
candidate may be passed over that a way of another make would have allowed. A candidate that is
proposed is not admitted if what it closes around it spoils a floor by number; where only those are
left that exclude each other, that is an error when it happens.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.limit_refusals import refuse_dear, refuse_unmet
from prcli.numerics.limits import UNLIMITED, Limits, kinds_of
from prcli.numerics.pick_plans import (
    Demands,
    additions,
    cheapest_plan,
    find_plan,
    substitutes,
)
from prcli.numerics.reachable_kinds import ReachableKinds

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: Relative excess of a sum of costs over the budget that is rounding.
_ROUNDING = 1e-12


class Gate:
    """Knows which candidates are open, given the picks so far.

    Parameters
    ----------
    limits : Limits

    Raises
    ------
    RequestError
        If they cannot be met, naming what can.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        n_candidates = len(limits.barred)
        #: Candidates that are closed for good from the start.
        self.barred: Mask = limits.barred.copy()
        self.barred[limits.chosen] = True
        self._gone = self.barred.copy()
        self._spent: list[float] = []
        self._n_left = limits.n_to_select
        self._kinds, self._belongs = kinds_of(limits.groups, n_candidates)
        least = [group.least for group in limits.groups]
        most = [UNLIMITED if g.most is None else g.most for g in limits.groups]
        self._least = np.array(least, dtype=np.int64)
        self._most = np.array(most, dtype=np.int64)
        n_kinds = self._belongs.shape[1]
        self._overlap = bool((self._belongs.sum(axis=0) > 1).any())
        self._available = np.bincount(self._kinds[~self._gone], minlength=n_kinds)
        self._reachable = ReachableKinds(n_kinds)
        self._postponed: list[int] = []
        self._nearest: tuple[int, NDArray[np.intp]] | None = None
        if limits.costs is not None:
            self._by_price = np.lexsort((limits.costs, self._kinds))
            self._starts = np.searchsorted(self._kinds[self._by_price], np.arange(n_kinds + 1))
        for index in limits.chosen.tolist():
            self._count(index)
            self._close_near(index)
        self._refuse_impossible()
        self._closed = self._gone
        self._open()

    @property
    def closed(self) -> Mask:
        """(C,) candidates that may not be picked now; not to be written to."""
        return self._closed

    @property
    def is_shut(self) -> bool:
        """Whether no candidate may be picked any more.

        Raises
        ------
        RequestError
            If a floor is left unmet.
        """
        if self._n_left <= 0:
            return True
        is_shut = bool(self._closed.all())
        if is_shut and (self._least > 0).any():
            refuse_unmet(self._limits, self._demands(np.zeros_like(self._available)))
        return is_shut

    @property
    def reason(self) -> str:
        """What shut it: "n_to_select", "budget" or "constraints"."""
        if self._n_left <= 0:
            return "n_to_select"
        costs = self._limits.costs
        if costs is None or self._limits.budget is None:
            return "constraints"
        return "budget" if (~self._gone & (costs > self._money_left)).any() else "constraints"

    @property
    def spent(self) -> float:
        """Cost of the picks so far."""
        return math.fsum(self._spent)

    @property
    def _money_left(self) -> float:
        budget = self._limits.budget
        if budget is None:
            return math.inf
        return budget * (1.0 + _ROUNDING) - self.spent

    def admits(self, index: int) -> bool:
        """Tell whether an open candidate leaves enough open around it; close it for now if not."""
        if self._limits.neighbours is None or not (self._least > 0).any():
            return True
        around = np.union1d(self._near(index), [index])
        lost = self._kinds[around[~self._gone[around]]]
        left = self._available - np.bincount(lost, minlength=len(self._available))
        mine = self._belongs[:, self._kinds[index]].astype(np.int64)
        rest = replace(
            self._demands(left),
            least=self._least - mine,
            most=self._most - mine,
            n_left=self._n_left - 1,
        )
        if find_plan(rest) is not None:
            return True
        self._postponed.append(index)
        self._open()
        return False

    def accept(self, index: int) -> None:
        """Learn of a pick."""
        kind = int(self._kinds[index])
        if (self._belongs[:, kind] & (self._least > 0)).any():
            # With less to ask for, more may be admitted.
            self._postponed.clear()
        if not self._gone[index]:
            self._gone[index] = True
            self._available[kind] -= 1
        self._n_left -= 1
        if self._limits.costs is not None:
            self._spent.append(float(self._limits.costs[index]))
        self._count(index)
        self._reachable.accept(kind)
        self._close_near(index)
        self._open()

    def _count(self, index: int) -> None:
        """Take a candidate off floors and ceilings."""
        mine = self._belongs[:, self._kinds[index]].astype(np.int64)
        self._least -= mine
        self._most -= mine

    def _close(self, indices: NDArray[np.integer]) -> None:
        """Close candidates for good."""
        fresh = indices[~self._gone[indices]]
        self._gone[fresh] = True
        self._available -= np.bincount(self._kinds[fresh], minlength=len(self._available))

    def _close_near(self, index: int) -> None:
        """Close what is too near to a candidate that has been chosen."""
        if self._limits.neighbours is not None:
            self._close(self._near(index))

    def _near(self, index: int) -> NDArray[np.intp]:
        """Find what is too near to a candidate to be chosen with it."""
        if self._nearest is not None and self._nearest[0] == index:
            return self._nearest[1]
        limits, near = self._limits, np.array([index])
        assert limits.neighbours is not None
        if limits.min_distance is not None:
            near = np.union1d(near, limits.neighbours.within(near, limits.min_distance))
        if limits.duplicates_within is not None:
            near = np.union1d(near, limits.neighbours.group(index, limits.duplicates_within))
        self._nearest = (index, near)
        return near

    def _demands(self, available: IntArray | None = None) -> Demands:
        return Demands(
            self._belongs,
            self._available if available is None else available,
            self._least,
            self._most,
            self._n_left,
            self._limits.is_exact,
        )

    def _open(self) -> None:
        """Find out which candidates are open."""
        limits = self._limits
        if limits.budget is None and not limits.groups:
            self._closed = self._gone
            return
        closed = self._gone.copy()
        closed[self._postponed] = True
        if limits.costs is not None and limits.budget is not None:
            closed |= limits.costs > self._money_left
        if limits.groups and self._n_left > 0:
            full = np.zeros(self._belongs.shape[1], dtype=bool)
            full[:] = self._belongs[self._most <= 0].any(axis=0)
            if self._needs_plans:
                full |= self._spoiling(closed)
            if full.any():
                closed |= full[self._kinds]
        self._closed = closed

    @property
    def _needs_plans(self) -> bool:
        """Whether picks that no ceiling forbids can spoil what has to be met.

        Of groups that do not overlap, ceilings take from the number of possible picks what each
        pick takes from the number that is left.
        """
        return bool((self._least > 0).any()) or (self._limits.is_exact and self._overlap)

    def _spoiling(self, closed: Mask) -> Mask:
        """Find the kinds of which a pick would spoil what has to be met, shape (K,).

        With a budget, candidates that are too dear for it are closed in place.
        """
        demands = self._demands()
        if self._limits.budget is not None:
            return self._too_dear(demands, closed)
        reachable = self._reachable.find(demands)
        if reachable is None:
            self._refuse_impossible()
            return np.ones(demands.n_kinds, dtype=bool)
        return ~reachable

    def _too_dear(self, demands: Demands, closed: Mask) -> Mask:
        """Close candidates beside which the floors cannot be paid for; tell the kinds of none."""
        costs = self._limits.costs
        assert costs is not None
        prices = self._prices(demands.needed)
        found = cheapest_plan(demands, prices)
        if found is None or found[1] > self._money_left:
            self._refuse_impossible()
            return np.ones(demands.n_kinds, dtype=bool)
        plan, cost = found
        spare = self._money_left - cost
        highest = np.where(additions(demands.at_most(), plan), spare, -math.inf)
        for kind in np.flatnonzero(plan).tolist():
            last = prices[kind][plan[kind] - 1] + spare
            instead = substitutes(demands, plan, kind)
            instead[kind] = True
            highest[instead] = np.maximum(highest[instead], last)
        # The members of a plan cost what they cost, to the last digit.
        closed |= costs > highest[self._kinds] * (1.0 + _ROUNDING)
        return np.isneginf(highest)

    def _prices(self, n_cheapest: IntArray) -> list[FloatArray]:
        """Costs of the cheapest candidates of each kind that are not gone, ascending."""
        costs = self._limits.costs
        assert costs is not None
        prices = []
        for start, stop, n in zip(self._starts[:-1], self._starts[1:], n_cheapest, strict=True):
            # Few of the cheapest are gone.
            members, length = self._by_price[start:stop], 2 * int(n) + 16
            left = members[:length][~self._gone[members[:length]]]
            if len(left) < n:
                left = members[~self._gone[members]]
            prices.append(costs[left[:n]])
        return prices

    def _refuse_impossible(self) -> None:
        """Say which limits cannot be kept, if there are any."""
        if not self._limits.groups or self._n_left <= 0:
            return
        demands = self._demands()
        refuse_unmet(self._limits, demands)
        if self._limits.budget is not None and (self._least > 0).any():
            prices = self._prices(demands.needed)
            refuse_dear(self._limits, demands, prices, self.spent, self._money_left)


def closing(barred: Mask) -> Gate:
    """Make a gate that closes some candidates and knows no other limits."""
    return Gate(Limits(barred, len(barred)))


def open_gate(n_candidates: int) -> Gate:
    """Make a gate that lets every candidate through once."""
    return closing(np.zeros(n_candidates, dtype=bool))
