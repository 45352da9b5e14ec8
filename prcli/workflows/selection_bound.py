"""How near a selection is to the best possible one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prcli.errors import RequestError
from prcli.numerics.capped_weights import Capacity
from prcli.numerics.greedy import GreedyResult
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import Posterior
from prcli.numerics.relaxation import Relaxation, has_bound
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.selection_problem import SelectionProblem


@dataclass(frozen=True)
class SelectionBound:
    """An upper bound on what any selection of as many structures, or within the budget, gains.

    Attributes
    ----------
    objective : float
        That no selection exceeds.
    gain : float
        Of the objective, that no selection exceeds.
    share : float
        What the selection gains of that at least; the best possible one gains 1 at most.
    relaxed_gain : float
        What candidates do gain that are added by parts: no bound of this kind is below it.
    n_passes : int
        Over the pool.
    counts_quotas : bool
        False: quotas and distances are left out, which makes the bound too high.
    """

    objective: float
    gain: float
    share: float
    relaxed_gain: float
    n_passes: int
    counts_quotas: bool = False


def check_bound(target_given: bool, options: SelectOptions) -> None:
    """Refuse objectives that cannot be bounded.

    Raises
    ------
    RequestError
    """
    objective = OBJECTIVES[options.objective]
    if not has_bound(objective):
        raise RequestError(
            "there is no bound for this objective",
            where="--bound",
            expected="one of " + ", ".join(n for n, each in OBJECTIVES.items() if has_bound(each)),
            got=options.objective,
        )
    if objective.needs_targets and not target_given:
        raise RequestError("a bound on this objective needs targets", where="--bound")


def bound_selection(
    problem: SelectionProblem, start: Posterior, result: GreedyResult
) -> SelectionBound:
    """Bound the objective by letting candidates be added by parts.

    Parameters
    ----------
    problem : SelectionProblem
        Of its limits the number and the budget count; without the others it may be possible to
        gain more, so that the bound holds all the same.
    start : Posterior
        Before the picks.
    result : GreedyResult
        Picks within the limits.

    Returns
    -------
    bound : SelectionBound
    """
    targets, limits = problem.targets, problem.limits
    closed = limits.barred.copy()
    closed[limits.chosen] = True
    if limits.budget is not None and limits.costs is not None:
        closed |= limits.costs > limits.budget
    relaxation = Relaxation(
        start, targets.counted_rows, targets.shares, problem.candidates, problem.objective
    )
    picks = [pick.index for pick in result.picks]
    capacities = _capacities(problem, len(picks))
    bounds = [relaxation.bound(capacity, closed, picks) for capacity in capacities]
    best = min(bounds, key=lambda bound: bound.gain)
    gained = result.objective_after - result.objective_before
    return SelectionBound(
        result.objective_before + best.gain,
        best.gain,
        gained / best.gain if best.gain > 0.0 else 1.0,
        best.relaxed,
        sum(bound.n_passes for bound in bounds),
    )


def _capacities(problem: SelectionProblem, n_picks: int) -> list[Capacity]:
    """Limit what is added: as many as were picked, or the budget and the number asked for."""
    limits, n_to_select = problem.limits, problem.options.n_to_select
    ones = np.ones(len(limits.barred))
    if limits.budget is None:
        return [Capacity(ones, float(n_picks))]
    capacities = []
    if limits.costs is not None:
        capacities.append(Capacity(limits.costs, limits.budget))
        if n_to_select is not None:
            capacities.append(Capacity(ones, float(n_to_select)))
    return capacities
