"""The greedy loop over the candidates of a pool: who proposes, and where it begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prcli.data.hessian_record import HessianRecord
from prcli.numerics.baselines import FixedOrder, Order, leverage_order, random_order
from prcli.numerics.block_picker import BlockListPicker, BlockPicker
from prcli.numerics.explanation import Helped, HelpWatch, explain_picks
from prcli.numerics.farthest import FarthestOrder
from prcli.numerics.gate import Gate
from prcli.numerics.greedy import GreedyResult, Pick, normalized, run_selection
from prcli.numerics.limits import Limits
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.pickers import GreedyPicker, ListPicker, Picker
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.records import Holding
from prcli.workflows.candidate_rows import CandidateRows
from prcli.workflows.model import posterior, unscaled_prior_root
from prcli.workflows.ranked_candidates import RankedCandidates, ToldOrder
from prcli.workflows.rows import EnergyRows
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.targets import Targets

FloatArray = NDArray[np.float64]

#: Rows of earlier picks that wait for a factorization.
_ROWS_AT_A_TIME = 4096


def pick_candidates(
    record: HessianRecord,
    state: Posterior,
    candidates: RankedCandidates,
    targets: Targets,
    options: SelectOptions,
    limits: Limits,
    *,
    by_cost: bool = False,
    begun: Sequence[Pick] = (),
    on_pick: Callable[[int, Pick], None] | None = None,
    watch: HelpWatch | None = None,
    holding: Holding | None = None,
) -> GreedyResult:
    """Pick candidates one by one.

    Parameters
    ----------
    record : HessianRecord
    state : Posterior
        Of the record, and of what was chosen before; the picks are added to it, those begun with,
        too.
    candidates : RankedCandidates
    targets : Targets
    options : SelectOptions
    limits : Limits
        Which candidates may be picked, and how many.
    by_cost : bool
        Whether a greedy search goes by the gain per cost.
    begun : sequence of Pick
        Picks that an earlier run has made. Their rows are added at once and everything is whitened
        after them, which costs no more than a start.
    on_pick : callable, optional
        As in `run_selection`.
    watch : HelpWatch, optional
        Is shown the targets after every pick that is made here.
    holding : Holding, optional
        What a greedy search among single rows, or one for farthest points, keeps in memory.

    Returns
    -------
    result : GreedyResult

    Raises
    ------
    RequestError
        If the limits cannot be kept.
    """
    gate = Gate(limits)
    for pick in begun:
        gate.accept(pick.index)
    weights = normalized(targets.weight[targets.counts] if len(targets.weight) else None, 0)
    frame = TargetFrame(state, targets.rows[targets.counts])
    v_before = frame.v.copy()
    if begun:
        add_picks(state, candidates, [pick.index for pick in begun])
        frame.refresh()
    picker: Picker
    if options.strategy == "pr":
        costs = limits.costs if by_cost else None
        n_picks = limits.n_to_select
        picker = greedy_picker(candidates, frame, weights, options, n_picks, gate, costs, holding)
    else:
        order = _told_baseline(record, candidates, options, limits, begun, holding)
        picker = list_picker(candidates, frame, weights, options, order, gate)
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
        OBJECTIVES[options.objective],
        weights,
        limits.n_to_select,
        gate=gate,
        begun=begun,
        v_before=v_before,
        stop_gain=options.stop_gain,
        stop_pr=options.stop_pr,
        on_pick=report,
        communicator=candidates.communicator,
    )


def add_picks(state: Posterior, candidates: CandidateRows, indices: Iterable[int]) -> None:
    """Add the rows of candidates to a posterior, some of them at a time."""
    n_waiting = 0
    for index in indices:
        rows = candidates.take(index)
        state.add(rows)
        n_waiting += len(rows)
        if n_waiting > _ROWS_AT_A_TIME:
            state.factor()
            n_waiting = 0


def helped_targets(
    record: HessianRecord,
    candidates: CandidateRows,
    targets: Targets,
    picks: Sequence[Pick],
    watch: HelpWatch,
    chosen: Sequence[int] = (),
) -> Helped:
    """Tell which of all targets each pick helps most.

    Parameters
    ----------
    record : HessianRecord
        As it was before the first pick.
    candidates : CandidateRows
    targets : Targets
    picks : sequence of Pick
    watch : HelpWatch
        Has seen the last of them, or other picks. What it has not seen is added once more.
    chosen : sequence of int
        Candidates that were chosen before the first pick.

    Returns
    -------
    helped : Helped
    """
    indices = [pick.index for pick in picks]
    n_unseen = len(indices) - len(watch.indices)
    if n_unseen < 0 or indices[n_unseen:] != watch.indices:
        n_unseen = len(indices)
    helped = watch.helped() if n_unseen < len(indices) or not indices else None
    if n_unseen:
        unseen = ((index, candidates.take(index)) for index in indices[:n_unseen])
        state = posterior(record)
        add_picks(state, candidates, chosen)
        first = explain_picks(state, targets.rows[targets.counts], unseen)
        helped = first if helped is None else helped.after(first)
    assert helped is not None
    # A last entry for no target at all.
    positions = np.append(np.flatnonzero(targets.counts), -1)
    return replace(helped, target=positions[helped.target])


def greedy_picker(
    candidates: RankedCandidates,
    frame: TargetFrame,
    weights: FloatArray,
    options: SelectOptions,
    n_to_select: int,
    gate: Gate,
    costs: FloatArray | None,
    holding: Holding | None,
) -> Picker:
    """Let gains decide, over single rows or blocks."""
    objective = OBJECTIVES[options.objective]
    share = candidates.share
    if candidates.are_single:
        rows = candidates.own_rows
        return GreedyPicker(
            rows, frame, objective, weights, n_to_select, gate, holding, costs, share
        )
    blocks = candidates.own_blocks
    return BlockPicker(
        blocks, frame, objective, weights, n_to_select, gate, costs=costs, share=share
    )


def list_picker(
    candidates: CandidateRows,
    frame: TargetFrame,
    weights: FloatArray,
    options: SelectOptions,
    order: Order,
    gate: Gate,
) -> Picker:
    """Let an order decide, over single rows or blocks."""
    objective = OBJECTIVES[options.objective]
    if candidates.are_single:
        return ListPicker(order, candidates.energies, frame, objective, weights, gate)
    return BlockListPicker(order, candidates, frame, objective, weights, gate)


def _told_baseline(
    record: HessianRecord,
    candidates: RankedCandidates,
    options: SelectOptions,
    limits: Limits,
    begun: Sequence[Pick],
    holding: Holding | None,
) -> Order:
    """Order of the picks of a baseline, which rank 0 alone works out."""
    communicator = candidates.communicator
    order = None
    if communicator.rank == 0:
        order = _baseline(
            record, candidates.described, options, limits, begun, holding or Holding()
        )
    return ToldOrder(order, communicator)


def _baseline(
    record: HessianRecord,
    source: EnergyRows,
    options: SelectOptions,
    limits: Limits,
    begun: Sequence[Pick],
    holding: Holding,
) -> Order:
    """Order of the picks of a baseline; baselines look at the features of structures only."""
    allowed = ~limits.barred
    if options.strategy == "fps":
        chosen = [*limits.chosen.tolist(), *(pick.index for pick in begun)]
        return FarthestOrder(source, allowed, chosen, holding.pool, limits.n_to_select)
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
