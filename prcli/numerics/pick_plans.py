"""Whether floors and ceilings of overlapping groups can still be met by the picks that are left.

Candidates that belong to the same groups are alike here, so what can be met is decided by how many
are picked of each *kind*: a small integer program, solved exactly. A plan is one such choice of
numbers; a candidate may be picked if some plan holds one of its kind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Demands:
    """What the picks that are left have to meet.

    Attributes
    ----------
    belongs : ndarray of bool of shape (G, K)
        Whether candidates of each of K kinds belong to each of G groups.
    available : ndarray of int of shape (K,)
        Candidates of each kind that may be picked.
    least, most : ndarray of int of shape (G,)
        Floors and ceilings of the groups; what has been picked is taken off.
    n_left : int
        Picks that are left.
    is_exact : bool
        Whether they are all to be made.
    """

    belongs: Mask
    available: IntArray
    least: IntArray
    most: IntArray
    n_left: int
    is_exact: bool

    @property
    def n_kinds(self) -> int:
        """K."""
        return len(self.available)

    @property
    def needed(self) -> IntArray:
        """(K,) candidates of each kind that the floors can ask for at most."""
        floors = np.where(self.belongs, np.maximum(self.least, 0)[:, np.newaxis], 0)
        most = np.minimum(floors.max(axis=0, initial=0), max(self.n_left, 0))
        return np.asarray(np.minimum(most, self.available), dtype=np.int64)

    def at_most(self) -> Demands:
        """Give the same where not all picks have to be made."""
        return replace(self, is_exact=False)

    def are_met_by(self, plan: IntArray) -> bool:
        """Tell whether a plan, shape (K,), meets them."""
        counts = self.belongs @ plan
        total = int(plan.sum())
        return bool(
            (plan >= 0).all()
            and (plan <= self.available).all()
            and (counts >= self.least).all()
            and (counts <= self.most).all()
            and (total == self.n_left if self.is_exact else total <= self.n_left)
        )


@dataclass(frozen=True, eq=False)
class Shortage:
    """How demands fail, and the nearest that can be met.

    Attributes
    ----------
    missing : ndarray of int of shape (G,)
        What each floor has to be lowered by; the least in all.
    n_possible : int
        Picks that can be made at most; with no missing ones, that floors and ceilings allow.
    n_enough : int or None
        Picks with which all floors could be met; None if no number is enough.
    """

    missing: IntArray
    n_possible: int
    n_enough: int | None


def find_plan(demands: Demands, with_kind: int | None = None) -> IntArray | None:
    """Find a plan of few picks, with at least one of some kind; None if there is none."""
    lower = np.zeros(demands.n_kinds)
    if with_kind is not None:
        lower[with_kind] = 1.0
    return _solve(np.ones(demands.n_kinds), demands, lower)


def cheapest_plan(demands: Demands, prices: list[FloatArray]) -> tuple[IntArray, float] | None:
    """Find the plan of least cost; what is not needed is not bought.

    Parameters
    ----------
    demands : Demands
    prices : list of K ndarrays
        Costs of the cheapest candidates of each kind in ascending order, `Demands.needed` of each
        or all that there are.

    Returns
    -------
    plan, cost : ndarray of int of shape (K,), float
        Or None if there is no plan.
    """
    # Since prices ascend, the cheapest of a kind come first by themselves.
    counts = np.minimum([len(each) for each in prices], demands.needed)
    kinds = np.repeat(np.arange(demands.n_kinds), counts)
    cost = np.concatenate([each[:n] for each, n in zip(prices, counts, strict=True)])
    single = replace(
        demands,
        belongs=demands.belongs[:, kinds],
        available=np.ones(len(cost), dtype=np.int64),
        is_exact=False,
    )
    found = _solve(cost, single, np.zeros(len(cost)))
    if found is None:
        return None
    plan = np.bincount(kinds, weights=found, minlength=demands.n_kinds).astype(np.int64)
    return plan, float(sum(each[:n].sum() for each, n in zip(prices, plan, strict=True)))


def additions(demands: Demands, plan: IntArray) -> Mask:
    """Kinds of which a plan can hold one more, shape (K,)."""
    if demands.is_exact or plan.sum() >= demands.n_left:
        return np.zeros(demands.n_kinds, dtype=bool)
    full = demands.belongs @ plan >= demands.most
    return (plan < demands.available) & ~demands.belongs[full].any(axis=0)


def substitutes(demands: Demands, plan: IntArray, kind: int) -> Mask:
    """Kinds of which a plan can hold one in place of one of its own, shape (K,)."""
    counts = demands.belongs @ plan
    mine = demands.belongs[:, kind]
    # Floors that would be missed without it, and ceilings that it does not make room under.
    missed = mine & (counts <= demands.least)
    full = ~mine & (counts >= demands.most)
    possible = demands.belongs[missed].all(axis=0) & ~demands.belongs[full].any(axis=0)
    return possible & (plan < demands.available)


def shortage(demands: Demands) -> Shortage | None:
    """Find out how demands fail; None if they can be met."""
    if find_plan(demands) is not None:
        return None
    missing = _missing(demands)
    unlimited = replace(demands, n_left=int(demands.available.sum()), is_exact=False)
    fewest = _solve(np.ones(demands.n_kinds), unlimited, np.zeros(demands.n_kinds))
    lowered = replace(demands, least=demands.least - missing, is_exact=False)
    largest = _solve(-np.ones(demands.n_kinds), lowered, np.zeros(demands.n_kinds))
    return Shortage(
        missing,
        0 if largest is None else int(largest.sum()),
        None if fewest is None else int(fewest.sum()),
    )


def _missing(demands: Demands) -> IntArray:
    """Lower floors by as little as possible in all, shape (G,)."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    n_groups, n_kinds = demands.belongs.shape
    # A pretended pick for every floor, which counts in no ceiling and not as a pick.
    counts = np.concatenate([demands.belongs, np.eye(n_groups)], axis=1)
    real = np.concatenate([np.ones(n_kinds), np.zeros(n_groups)])
    ceilings = np.concatenate([demands.belongs, np.zeros((n_groups, n_groups))], axis=1)
    floors = np.maximum(demands.least, 0)
    result = milp(
        1.0 - real,
        integrality=np.ones(n_kinds + n_groups, dtype=np.int64),
        bounds=Bounds(0.0, np.concatenate([demands.available, floors]).astype(float)),
        constraints=[
            LinearConstraint(counts.astype(float), lb=demands.least.astype(float)),
            LinearConstraint(ceilings.astype(float), ub=np.maximum(demands.most, 0).astype(float)),
            LinearConstraint(real[np.newaxis], ub=demands.n_left),
        ],
    )
    # With nothing picked but what is pretended, everything is met.
    assert result.x is not None
    return np.asarray(np.rint(result.x[n_kinds:]), dtype=np.int64)


def _solve(cost: FloatArray, demands: Demands, lower: FloatArray) -> IntArray | None:
    """Minimize a cost over all plans with at least `lower` picks of each kind."""
    # Takes as long to load as all else that a selection needs, and most have no groups.
    from scipy.optimize import Bounds, LinearConstraint, milp

    upper = np.minimum(demands.available, max(demands.n_left, 0)).astype(float)
    if (lower > upper).any():
        return None
    if not demands.n_kinds:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing if demands.are_met_by(nothing) else None
    total = np.ones((1, demands.n_kinds))
    result = milp(
        cost,
        integrality=np.ones(demands.n_kinds, dtype=np.int64),
        bounds=Bounds(lower, upper),
        constraints=[
            LinearConstraint(
                demands.belongs.astype(float),
                lb=demands.least.astype(float),
                ub=demands.most.astype(float),
            ),
            LinearConstraint(total, demands.n_left if demands.is_exact else 0, demands.n_left),
        ],
    )
    if result.x is None:
        return None
    plan = np.asarray(np.rint(result.x), dtype=np.int64)
    return plan if demands.are_met_by(plan) else None
