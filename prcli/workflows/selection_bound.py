"""How near a selection is to the best possible one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prcli.errors import RequestError
from prcli.numerics.capped_weights import Capacity
from prcli.numerics.greedy import GreedyResult, normalized
from prcli.numerics.limits import Limits
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import Posterior
from prcli.numerics.relaxation import Relaxation, has_bound
from prcli.workflows.candidate_rows import CandidateRows
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.targets import Targets


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
    start: Posterior,
    candidates: CandidateRows,
    targets: Targets,
    options: SelectOptions,
    limits: Limits,
    result: GreedyResult,
) -> SelectionBound:
    """Bound the objective by letting candidates be added by parts.

    Parameters
    ----------
    start : Posterior
        Before the picks.
    candidates : CandidateRows
    targets : Targets
    options : SelectOptions
    limits : Limits
        Of which the number and the budget count; without the others it may be possible to gain
        more, so that the bound holds all the same.
    result : GreedyResult
        Picks within them.

    Returns
    -------
    bound : SelectionBound
    """
    closed = limits.barred.copy()
    closed[limits.chosen] = True
    capacities = []
    if limits.budget is None:
        capacities.append(Capacity(np.ones(len(closed)), float(len(result.picks))))
    elif limits.costs is not None:
        closed |= limits.costs > limits.budget
        capacities.append(Capacity(limits.costs, limits.budget))
        if options.n_to_select is not None:
            capacities.append(Capacity(np.ones(len(closed)), float(options.n_to_select)))
    weights = normalized(targets.weight[targets.counts] if len(targets.weight) else None, 0)
    relaxation = Relaxation(
        start,
        targets.rows[targets.counts],
        weights,
        candidates,
        OBJECTIVES[options.objective],
    )
    picks = [pick.index for pick in result.picks]
    bounds = [relaxation.bound(capacity, closed, picks) for capacity in capacities]
    best = min(bounds, key=lambda bound: bound.gain)
    gained = (result.picks[-1].objective if picks else 0.0) - result.objective_before
    return SelectionBound(
        result.objective_before + best.gain,
        best.gain,
        gained / best.gain if best.gain > 0.0 else 1.0,
        best.relaxed,
        sum(bound.n_passes for bound in bounds),
    )
