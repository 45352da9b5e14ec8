"""Limits that no selection can keep: which they are, and the nearest that can be kept."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prcli.errors import RequestError
from prcli.numerics.limits import Limits
from prcli.numerics.pick_plans import Demands, Shortage, cheapest_plan, shortage

FloatArray = NDArray[np.float64]


def refuse_unmet(limits: Limits, demands: Demands) -> None:
    """Refuse floors and ceilings that the picks that are left cannot keep.

    Parameters
    ----------
    limits : Limits
    demands : Demands
        What is left of them.

    Raises
    ------
    RequestError
        Naming those that are in the way, and what is possible.
    """
    _refuse_full(limits, demands)
    found = shortage(demands)
    if found is None:
        return
    if found.missing.any():
        raise _unmet_floors(limits, demands, found)
    ceilings = [group.name for group in limits.groups if group.most is not None]
    raise RequestError(
        "the ceilings do not leave enough candidates",
        where=", ".join(ceilings),
        expected=f"{demands.n_left} picks",
        got=f"{found.n_possible} at most",
        remedy=f"ask for {found.n_possible}, or raise a ceiling",
    )


def refuse_dear(
    limits: Limits, demands: Demands, prices: list[FloatArray], spent: float, money_left: float
) -> None:
    """Refuse floors that the money does not pay for.

    Parameters
    ----------
    limits : Limits
    demands : Demands
    prices : list of ndarrays
        As `cheapest_plan` takes them.
    spent, money_left : float
        Cost of the picks so far, and what they leave.

    Raises
    ------
    RequestError
        Naming the budget that would be enough.
    """
    found = cheapest_plan(demands, prices)
    cost = math.inf if found is None else found[1]
    if cost > money_left:
        assert limits.budget is not None
        raise RequestError(
            "the budget does not pay for the floors",
            expected=f"a budget of at least {spent + cost:.12g}",
            got=f"{limits.budget:.12g}",
            remedy="raise --budget, or lower a floor",
        )


def _refuse_full(limits: Limits, demands: Demands) -> None:
    """Refuse ceilings that what was chosen before exceeds."""
    over = np.flatnonzero(demands.most < 0)
    if over.size:
        group = limits.groups[int(over[0])]
        most = group.most or 0
        raise RequestError(
            "what was chosen before exceeds a ceiling",
            where=group.name,
            expected=f"at most {most}",
            got=str(most - int(demands.most[over[0]])),
            remedy="raise the ceiling, or include fewer",
        )


def _unmet_floors(limits: Limits, demands: Demands, found: Shortage) -> RequestError:
    short = np.flatnonzero(found.missing).tolist()
    names = [group.name for group in limits.groups]
    asked = [f"{int(demands.least[i])} of {names[i]}" for i in short]
    possible = [f"{int(demands.least[i] - found.missing[i])} of {names[i]}" for i in short]
    has_begun = demands.n_left < limits.n_to_select
    remedy = "lower " + ("this floor" if len(short) == 1 else "these floors")
    if found.n_enough is not None and not has_begun:
        remedy += f", or pick {found.n_enough} structures"
    elif has_begun:
        remedy += ", or the distance"
    n_open = int(demands.available.sum())
    return RequestError(
        "floors cannot be met any more, since what is near to the picks is closed"
        if has_begun
        else "floors cannot be met",
        where=f"{demands.n_left} picks that are left, among {n_open} candidates"
        if has_begun
        else f"{demands.n_left} picks among {n_open} candidates",
        expected="at least " + ", ".join(asked),
        got="at most " + ", ".join(possible),
        remedy=remedy,
    )
