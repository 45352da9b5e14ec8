"""Selections within a budget: by gain per cost, by gain alone, the best single one; the best wins.

For an objective of diminishing returns, as log-det is, the better one of two greedy searches, by
gain per cost and by gain alone, gains at least half of 1 − 1/e of what any selection within the
budget gains (Leskovec et al., KDD 2007). The other objectives have no such guarantee. A search by
gain alone begins with the best single candidate that the budget pays for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prcli.data.hessian_record import HessianRecord
from prcli.numerics.candidates import TIE
from prcli.numerics.explanation import HelpWatch
from prcli.numerics.greedy import GreedyResult, Pick
from prcli.numerics.limits import Limits
from prcli.numerics.posterior import Posterior
from prcli.records import Holding
from prcli.workflows.ranked_candidates import RankedCandidates
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.selection_loop import pick_candidates
from prcli.workflows.targets import Targets

logger = logging.getLogger(__name__)

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
    record: HessianRecord,
    state: Posterior,
    candidates: RankedCandidates,
    targets: Targets,
    options: SelectOptions,
    limits: Limits,
    *,
    begun: Sequence[Pick] = (),
    on_pick: Callable[[int, Pick], None] | None = None,
    watch: HelpWatch | None = None,
    holding: Holding | None = None,
) -> tuple[GreedyResult, Posterior, tuple[Search, ...]]:
    """Pick candidates, within a budget by every search.

    Parameters
    ----------
    record, state, candidates, targets, options, limits, watch, holding
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
    costs = limits.costs
    searched = options.strategy == "pr" and limits.budget is not None and costs is not None

    def search(number: int, at: Posterior) -> GreedyResult:
        def report(n_picks: int, pick: Pick) -> None:
            if on_pick is not None:
                on_pick(n_picks, replace(pick, search=number))

        mine = [replace(pick, search=0) for pick in begun if pick.search == number]
        return pick_candidates(
            record,
            at,
            candidates,
            targets,
            options,
            limits,
            by_cost=searched and number == 0,
            begun=mine,
            on_pick=report,
            watch=watch,
            holding=holding,
        )

    twin = state.copy() if searched else state
    first = search(0, state)
    if not searched or costs is None:
        return first, state, ()
    open_costs = costs[~limits.barred]
    # Where all costs are equal the searches are the same.
    second = search(1, twin) if np.ptp(open_costs) > 0.0 else first
    results = {BY_COST: first, BY_GAIN: second}
    # Searches may end with the same picks in another order, and then rounding must not decide.
    lead = _value(second) - _value(first)
    kept = BY_GAIN if lead > TIE * abs(_value(first)) else BY_COST
    searches = [
        Search(name, len(r.picks), _cost(r, costs), _value(r), is_kept=name == kept)
        for name, r in results.items()
    ]
    single = replace(second, picks=second.picks[:1])
    has_floors = any(group.least > 0 for group in limits.groups)
    searches.append(
        Search(
            SINGLE,
            1,
            _cost(single, costs),
            _value(single),
            len(second.picks) == 1 or not has_floors,
        )
    )
    return (
        results[kept],
        twin if kept == BY_GAIN and second is not first else state,
        tuple(searches),
    )


def _value(result: GreedyResult) -> float:
    """Objective after the picks."""
    return result.picks[-1].objective if result.picks else result.objective_before


def _cost(result: GreedyResult, costs: np.ndarray) -> float:
    """Cost of the picks."""
    return float(sum(costs[pick.index] for pick in result.picks))
