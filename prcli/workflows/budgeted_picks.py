"""Selections within a budget: by gain per cost, by gain alone, the best single one; the best wins.

For an objective of diminishing returns, as log-det is, the better one of two greedy searches, by
gain per cost and by gain alone, gains at least half of 1 − 1/e of what any selection within the
budget gains (Leskovec et al., KDD 2007). The other objectives have no such guarantee. A search by
gain alone begins with the best single candidate that the budget pays for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.candidates import TIE
from prcli.numerics.explanation import HelpWatch
from prcli.numerics.greedy import GreedyResult, Pick
from prcli.numerics.limits import Limits
from prcli.numerics.posterior import Posterior
from prcli.workflows.selection_loop import pick_candidates
from prcli.workflows.selection_problem import SelectionProblem

FloatArray = NDArray[np.float64]

#: Names of the searches, as reports have them.
BY_COST, BY_GAIN, SINGLE = "gain per cost", "gain", "best single"


@dataclass(frozen=True)
class Search:
    """One way to spend a budget.

    Attributes
    ----------
    name : str
        `BY_COST`, `BY_GAIN` or `SINGLE`.
    n_picks : int
    cost : float
        Sum of the costs of the picks.
    objective : float
        After the picks.
    keeps_limits : bool
        Whether the picks are a selection as asked for: a single one may leave floors unmet.
    is_kept : bool
    """

    name: str
    n_picks: int
    cost: float
    objective: float
    keeps_limits: bool = True
    is_kept: bool = False


def pick_within_budget(
    problem: SelectionProblem,
    state: Posterior,
    *,
    begun: Sequence[Pick] = (),
    on_pick: Callable[[int, Pick], None] | None = None,
    watch: HelpWatch | None = None,
) -> tuple[GreedyResult, Posterior, tuple[Search, ...]]:
    """Pick candidates, within a budget by every search.

    Parameters
    ----------
    problem, state, watch
        As for `selection_loop.pick_candidates`.
    begun : sequence of Pick
        Of all searches, which `Pick.search` tells apart.
    on_pick : callable, optional
        As in `run_selection`.

    Returns
    -------
    result : GreedyResult
        Of the best search.
    state : Posterior
        With its picks.
    searches : tuple of Search
        Empty without a budget, and for baselines.
    """

    def search(number: int, at: Posterior, *, by_cost: bool) -> GreedyResult:
        def report(n_picks: int, pick: Pick) -> None:
            if on_pick is not None:
                on_pick(n_picks, replace(pick, search=number))

        mine = [replace(pick, search=0) for pick in begun if pick.search == number]
        return pick_candidates(
            problem, at, by_cost=by_cost, begun=mine, on_pick=report, watch=watch
        )

    limits = problem.limits
    if problem.options.strategy != "pr" or limits.budget is None or limits.costs is None:
        return search(0, state, by_cost=False), state, ()
    twin = state.copy()
    first = search(0, state, by_cost=True)
    # Where all costs are equal the searches are the same.
    costs_differ = np.ptp(limits.costs[~limits.barred]) > 0.0
    second = search(1, twin, by_cost=False) if costs_differ else first
    # Searches may end with the same picks in another order, and then rounding must not decide.
    lead = second.objective_after - first.objective_after
    if lead > TIE * abs(first.objective_after):
        return second, twin, _searches(limits, limits.costs, first, second, BY_GAIN)
    return first, state, _searches(limits, limits.costs, first, second, BY_COST)


def _searches(
    limits: Limits, costs: FloatArray, by_cost: GreedyResult, by_gain: GreedyResult, kept: str
) -> tuple[Search, ...]:
    """Tell what each way to spend the budget reaches."""
    single = replace(by_gain, picks=by_gain.picks[:1])
    has_floors = any(group.least > 0 for group in limits.groups)
    keeps_limits = len(by_gain.picks) == 1 or not has_floors

    def told(name: str, result: GreedyResult, *, keeps_limits: bool = True) -> Search:
        cost = float(sum(costs[pick.index] for pick in result.picks))
        n_picks, value = len(result.picks), result.objective_after
        return Search(name, n_picks, cost, value, keeps_limits, name == kept)

    return (
        told(BY_COST, by_cost),
        told(BY_GAIN, by_gain),
        told(SINGLE, single, keeps_limits=keeps_limits),
    )
