"""The picks that a selection problem is solved by, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prcli.numerics.condition import Condition, condition_of
from prcli.numerics.explanation import Helped, HelpWatch
from prcli.numerics.greedy import GreedyResult, Pick
from prcli.records import Progress, no_progress
from prcli.workflows.budgeted_picks import Search, pick_within_budget
from prcli.workflows.model import scales
from prcli.workflows.refinement import Exchange, Refinement
from prcli.workflows.selection_bound import SelectionBound, bound_selection
from prcli.workflows.selection_loop import helped_targets
from prcli.workflows.selection_problem import SelectionProblem
from prcli.workflows.target_standing import TargetStanding, target_standing


@dataclass(frozen=True, eq=False)
class FoundPicks:
    """Picks, and what they do.

    Attributes
    ----------
    result : GreedyResult
        After exchanges, where there were any.
    condition : Condition
        Condition number of R, of scaled features, before the picks.
    before, after : TargetStanding
        How firmly the targets were held, and are with the picks.
    searches : tuple of Search
        The ways that a budget was spent, before exchanges.
    refinement : Refinement or None
    bound : SelectionBound or None
    helped : Helped or None
        Where that was asked for and there are targets.
    """

    result: GreedyResult
    condition: Condition
    before: TargetStanding
    after: TargetStanding
    searches: tuple[Search, ...]
    refinement: Refinement | None
    bound: SelectionBound | None
    helped: Helped | None


def find_picks(
    problem: SelectionProblem,
    *,
    begun: Sequence[Pick] = (),
    on_pick: Callable[[Pick], None] | None = None,
    refine: int = 0,
    bound: bool = False,
    explain: bool = False,
    progress: Progress = no_progress,
) -> FoundPicks:
    """Search, exchange, bound and explain, as far as that is asked for.

    Parameters
    ----------
    problem : SelectionProblem
    begun, on_pick, refine, bound, explain, progress
        As for `select.select`.

    Returns
    -------
    found : FoundPicks

    Raises
    ------
    RequestError
        If the limits cannot be kept.
    """

    def report(n_picks: int, pick: Pick) -> None:
        # What keeps picks comes before what may end the run.
        if on_pick is not None:
            on_pick(pick)
        progress("select", n_picks, problem.limits.n_to_select)

    # One factorization before the picks and one after serve the choice and what is told of it:
    # with many features each takes longer than the picks.
    state = problem.begin()
    condition = condition_of(state.factor() / scales(problem.record))
    start = state.copy() if refine or bound else state
    before = target_standing(problem, state)
    watch = HelpWatch() if explain and problem.targets.counts.any() else None
    result, state, searches = pick_within_budget(
        problem, state, begun=begun, on_pick=report, watch=watch
    )
    refinement = bounded = helped = None
    if refine:
        result, state, refinement = Exchange(problem, start).refine(result, state, refine, progress)
    if bound:
        bounded = bound_selection(problem, start, result)
    after = target_standing(problem, state)
    if watch is not None:
        helped = helped_targets(problem, result.picks, watch)
    return FoundPicks(result, condition, before, after, searches, refinement, bounded, helped)
