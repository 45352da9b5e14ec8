"""The greedy loop over the candidates of a pool: who proposes, and where it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.baselines import FixedOrder, Order, leverage_order, random_order
from prcli.numerics.block_picker import BlockListPicker, BlockPicker
from prcli.numerics.explanation import Helped, HelpWatch, explain_picks
from prcli.numerics.farthest import FarthestOrder
from prcli.numerics.gate import Gate
from prcli.numerics.greedy import GreedyResult, Pick, run_selection
from prcli.numerics.pickers import GreedyPicker, ListPicker, Picker
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.workflows.model import unscaled_prior_root
from prcli.workflows.ranked_candidates import ToldOrder
from prcli.workflows.selection_problem import SelectionProblem

FloatArray = NDArray[np.float64]


def pick_candidates(
    problem: SelectionProblem,
    state: Posterior,
    *,
    by_cost: bool = False,
    begun: Sequence[Pick] = (),
    on_pick: Callable[[int, Pick], None] | None = None,
    watch: HelpWatch | None = None,
) -> GreedyResult:
    """Pick candidates one by one.

    Parameters
    ----------
    problem : SelectionProblem
    state : Posterior
        Before the picks, which are added to it, those begun with, too.
    by_cost : bool
        Whether a greedy search goes by the gain per cost.
    begun : sequence of Pick
        Picks that an earlier run has made. Their rows are added at once and everything is whitened
        after them, which costs no more than a start.
    on_pick : callable, optional
        As in `run_selection`.
    watch : HelpWatch, optional
        Is shown the targets after every pick that is made here.

    Returns
    -------
    result : GreedyResult

    Raises
    ------
    RequestError
        If the limits cannot be kept.
    """
    limits, options = problem.limits, problem.options
    gate = Gate(limits)
    for pick in begun:
        gate.accept(pick.index)
    frame = problem.frame(state)
    v_before = frame.v.copy()
    if begun:
        problem.add(state, [pick.index for pick in begun])
        frame.refresh()
    if options.strategy == "pr":
        costs = limits.costs if by_cost else None
        picker = greedy_picker(problem, frame, gate, limits.n_to_select, costs)
    else:
        picker = list_picker(problem, frame, gate, _told_baseline(problem, begun))
    if watch is not None:
        watch.begin(frame.v)

    def report(n_picks: int, pick: Pick) -> None:
        if watch is not None:
            watch.note(pick.index, frame.v)
        if on_pick is not None:
            on_pick(n_picks, pick)

    return run_selection(
        picker,
        frame,
        problem.objective,
        problem.targets.shares,
        limits.n_to_select,
        gate=gate,
        begun=begun,
        v_before=v_before,
        stop_gain=options.stop_gain,
        stop_pr=options.stop_pr,
        on_pick=report,
        communicator=problem.candidates.communicator,
    )


def helped_targets(problem: SelectionProblem, picks: Sequence[Pick], watch: HelpWatch) -> Helped:
    """Tell which of all targets each pick helps most.

    Parameters
    ----------
    problem : SelectionProblem
    picks : sequence of Pick
    watch : HelpWatch
        Has seen the last of them, or other picks. What it has not seen is added once more.

    Returns
    -------
    helped : Helped
    """
    targets = problem.targets
    indices = [pick.index for pick in picks]
    n_unseen = len(indices) - len(watch.indices)
    if n_unseen < 0 or indices[n_unseen:] != watch.indices:
        n_unseen = len(indices)
    helped = watch.helped() if n_unseen < len(indices) or not indices else None
    if n_unseen:
        unseen = ((index, problem.candidates.take(index)) for index in indices[:n_unseen])
        first = explain_picks(problem.begin(), targets.counted_rows, unseen)
        helped = first if helped is None else helped.after(first)
    assert helped is not None
    # A last entry for no target at all.
    positions = np.append(np.flatnonzero(targets.counts), -1)
    return replace(helped, target=positions[helped.target])


def greedy_picker(
    problem: SelectionProblem,
    frame: TargetFrame,
    gate: Gate,
    n_to_select: int,
    costs: FloatArray | None = None,
) -> Picker:
    """Let gains, or gains per cost, decide, over single rows or blocks."""
    candidates, objective, weights = problem.candidates, problem.objective, problem.targets.shares
    share = candidates.share
    if candidates.are_single:
        rows = candidates.own_rows
        return GreedyPicker(
            rows, frame, objective, weights, n_to_select, gate, problem.holding, costs, share
        )
    blocks = candidates.own_blocks
    return BlockPicker(
        blocks, frame, objective, weights, n_to_select, gate, costs=costs, share=share
    )


def list_picker(problem: SelectionProblem, frame: TargetFrame, gate: Gate, order: Order) -> Picker:
    """Let an order decide, over single rows or blocks."""
    candidates, objective, weights = problem.candidates, problem.objective, problem.targets.shares
    if candidates.are_single:
        return ListPicker(order, candidates.energies, frame, objective, weights, gate)
    return BlockListPicker(order, candidates, frame, objective, weights, gate)


def _told_baseline(problem: SelectionProblem, begun: Sequence[Pick]) -> Order:
    """Order of the picks of a baseline, which rank 0 alone works out."""
    communicator = problem.candidates.communicator
    return ToldOrder(_baseline(problem, begun) if communicator.rank == 0 else None, communicator)


def _baseline(problem: SelectionProblem, begun: Sequence[Pick]) -> Order:
    """Order of the picks of a baseline; baselines look at the features of structures only."""
    record, options, limits = problem.record, problem.options, problem.limits
    source = problem.candidates.described
    allowed = ~limits.barred
    if options.strategy == "fps":
        chosen = [*limits.chosen.tolist(), *(pick.index for pick in begun)]
        return FarthestOrder(source, allowed, chosen, problem.holding.pool, limits.n_to_select)
    allowed[limits.chosen] = False
    # Where some of the first ones may be closed, all have to be in the order.
    n_ordered = int(np.count_nonzero(allowed)) if limits.are_strict else limits.n_to_select
    if options.strategy == "random":
        order = random_order(np.flatnonzero(allowed), n_ordered, options.seed)
    else:
        order = leverage_order(
            source, allowed, unscaled_prior_root(record), record.regularizer, n_ordered
        )
    return FixedOrder(order[len(begun) :] if not limits.are_strict else order)
