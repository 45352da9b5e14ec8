"""The greedy loop over the candidates of a pool: who proposes, and where it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from prcli.data.hessian_record import HessianRecord
from prcli.numerics.baselines import farthest_point_order, leverage_order, random_order
from prcli.numerics.block_picker import BlockListPicker, BlockPicker
from prcli.numerics.greedy import GreedyResult, Pick, normalized, run_selection
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.pickers import GreedyPicker, ListPicker, Picker
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.workflows.candidate_rows import CandidateRows
from prcli.workflows.model import posterior, unscaled_prior_root
from prcli.workflows.rows import EnergyRows
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.targets import Targets

FloatArray = NDArray[np.float64]

#: Rows of earlier picks that wait for a factorization.
_ROWS_AT_A_TIME = 4096


def pick_candidates(
    record: HessianRecord,
    candidates: CandidateRows,
    targets: Targets,
    options: SelectOptions,
    allowed: NDArray[np.bool_],
    *,
    begun: Sequence[Pick] = (),
    on_pick: Callable[[int, Pick], None] | None = None,
) -> GreedyResult:
    """Pick candidates one by one.

    Parameters
    ----------
    record : HessianRecord
    candidates : CandidateRows
    targets : Targets
    options : SelectOptions
    allowed : ndarray of bool of shape (C,)
        Candidates that may be picked.
    begun : sequence of Pick
        Picks that an earlier run has made. Their rows are added at once and everything is whitened
        after them, which costs no more than a start.
    on_pick : callable, optional
        As in `run_selection`.

    Returns
    -------
    result : GreedyResult
    """
    state = posterior(record)
    weights = normalized(targets.weight[targets.counts] if len(targets.weight) else None, 0)
    frame = TargetFrame(state, targets.rows[targets.counts])
    v_before = frame.v.copy()
    if begun:
        add_picks(state, candidates, begun)
        frame.refresh()
    picker = _picker(record, candidates, frame, state, weights, options, allowed, begun)
    return run_selection(
        picker,
        frame,
        OBJECTIVES[options.objective],
        weights,
        options.n_to_select,
        begun=begun,
        v_before=v_before,
        stop_gain=options.stop_gain,
        stop_pr=options.stop_pr,
        on_pick=on_pick,
    )


def add_picks(state: Posterior, candidates: CandidateRows, picks: Sequence[Pick]) -> None:
    """Add the rows of picks to a posterior, some of them at a time."""
    n_waiting = 0
    for pick in picks:
        rows = candidates.take(pick.index)
        state.add(rows)
        n_waiting += len(rows)
        if n_waiting > _ROWS_AT_A_TIME:
            state.factor()
            n_waiting = 0


def _picker(
    record: HessianRecord,
    candidates: CandidateRows,
    frame: TargetFrame,
    state: Posterior,
    weights: FloatArray,
    options: SelectOptions,
    allowed: NDArray[np.bool_],
    begun: Sequence[Pick],
) -> Picker:
    """Choose who proposes: a greedy search or a baseline, over single rows or blocks."""
    rows = candidates.energies if candidates.are_single else None
    objective = OBJECTIVES[options.objective]
    if options.strategy != "pr":
        order = _baseline_order(record, candidates.described, options, allowed)[len(begun) :]
        if rows is not None:
            return ListPicker(order, rows, frame, objective, weights)
        return BlockListPicker(order, candidates, frame, objective, weights)
    closed = ~allowed
    closed[[pick.index for pick in begun]] = True
    n_to_select = options.n_to_select
    if rows is not None:
        return GreedyPicker(rows, frame, state, objective, weights, n_to_select, excluded=closed)
    return BlockPicker(candidates, frame, state, objective, weights, n_to_select, excluded=closed)


def _baseline_order(
    record: HessianRecord, source: EnergyRows, options: SelectOptions, allowed: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Order of the picks of a baseline; baselines look at the features of structures only."""
    n_to_select = options.n_to_select
    if options.strategy == "random":
        return random_order(np.flatnonzero(allowed), n_to_select, options.seed)
    if options.strategy == "fps":
        return farthest_point_order(source, allowed, n_to_select)
    return leverage_order(
        source, allowed, unscaled_prior_root(record), record.regularizer, n_to_select
    )
