"""Choose the candidates that most raise the rigidity of the structures a user cares about."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.numerics.condition import condition_of
from prcli.numerics.explanation import HelpWatch
from prcli.numerics.greedy import GreedyResult, Pick
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import Posterior
from prcli.numerics.rigidity import prior_shares, reciprocal, squared_norms, whiten
from prcli.records import ALONE, Communicator, Holding, Progress, no_progress
from prcli.wording import counted
from prcli.workflows.budgeted_picks import pick_within_budget
from prcli.workflows.candidate_rows import Weights, warn_about_kinds
from prcli.workflows.constraints import Constraints, neighbours_of
from prcli.workflows.health import MOSTLY
from prcli.workflows.model import (
    check_fits,
    posterior,
    scales,
    unscaled_prior_root,
    warn_about_descriptors,
    warn_about_training,
)
from prcli.workflows.ranked_candidates import RankedCandidates
from prcli.workflows.refinement import Exchange, check_refinement
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.selection import Selection
from prcli.workflows.selection_bound import bound_selection, check_bound
from prcli.workflows.selection_loop import add_picks, helped_targets
from prcli.workflows.targets import Targets, check_targets, read_targets

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Relative drift of the updated rigidities that is worth a warning.
LARGEST_DRIFT = 1e-8


def select(
    record: HessianRecord,
    pool: Dataset,
    target: Dataset | None,
    options: SelectOptions,
    *,
    allowed: NDArray[np.bool_] | None = None,
    target_weight: FloatArray | None = None,
    weights: Weights | None = None,
    begun: Sequence[Pick] = (),
    on_pick: Callable[[Pick], None] | None = None,
    constraints: Constraints | None = None,
    refine: int = 0,
    bound: bool = False,
    explain: bool = False,
    holding: Holding | None = None,
    progress: Progress = no_progress,
    communicator: Communicator = ALONE,
) -> Selection:
    """Select candidates.

    A candidate is one row, its energy, or a block of rows where the pool has gradients that
    the loss counts.

    Parameters
    ----------
    record : HessianRecord
        Of the training set.
    pool : Dataset
        C candidates.
    target : Dataset or None
        Structures of interest; not needed for log-det and for baselines.
    options : SelectOptions
    allowed : ndarray of bool of shape (C,), optional
        Candidates that pass a filter.
    target_weight : ndarray of shape (S,), optional
        Weight of each structure of `target`, not negative.
    weights : Weights, optional
        Of the rows of the candidates.
    begun : sequence of Pick
        Picks that an earlier run of the same request has made; the rest is as if this one had.
    on_pick : callable, optional
        Called with each pick that is made.
    constraints : Constraints, optional
        What the picks have to keep within.
    refine : int
        Sweeps of exchanges after the greedy search.
    bound : bool
        Bound what any selection can gain.
    explain : bool
        Note which targets each pick helps.
    holding : Holding, optional
        What a greedy search among single rows keeps in memory; it changes no pick.
    progress : callable
    communicator : Communicator
        Ranks divide the candidates among them; all make the same picks.

    Returns
    -------
    selection : Selection

    Raises
    ------
    RequestError
        If there are fewer candidates than picks, targets are needed and missing, or constraints
        cannot be met.
    """
    constraints = constraints or Constraints()
    _check(record, pool, target, options, refine, bound)
    allowed, n_in_training = _allowed(record, pool, options, allowed, constraints)
    constraints.check(allowed, options, pool.label)
    targets = read_targets(record, target, options, target_weight)
    candidates = RankedCandidates(pool, record, weights, communicator, progress)
    warn_about_kinds(record, pool)

    def report(n_picks: int, pick: Pick) -> None:
        # What keeps picks comes before what may end the run.
        if on_pick is not None:
            on_pick(pick)
        progress("select", n_picks, limits.n_to_select)

    near = neighbours_of(constraints.options, record, pool)
    limits = constraints.limits(allowed, options, near, record.scale)
    # One factorization before the picks and one after serve the choice and what is told of it:
    # with many features each takes longer than the picks.
    state = posterior(record)
    add_picks(state, candidates, limits.chosen.tolist())
    condition = condition_of(state.factor() / scales(record))
    start = state.copy() if refine or bound else state
    before, share_before = _standing(record, state, targets)
    watch = HelpWatch() if explain and targets.counts.any() else None
    result, state, searches = pick_within_budget(
        record,
        state,
        candidates,
        targets,
        options,
        limits,
        begun=begun,
        on_pick=report,
        watch=watch,
        holding=holding,
    )
    refinement = None
    if refine:
        exchange = Exchange(start, candidates, targets, options, limits, holding)
        result, state, refinement = exchange.refine(result, state, refine, progress)
    bounded = None
    if bound:
        bounded = bound_selection(start, candidates, targets, options, limits, result)
    _warn(result, options)
    after, share_after = _standing(record, state, targets)
    _say_unresolved(share_before, share_after)
    helped = None
    if watch is not None:
        chosen = limits.chosen.tolist()
        helped = helped_targets(record, candidates, targets, result.picks, watch, chosen)
    return Selection(
        indices=np.array([pick.index for pick in result.picks], dtype=np.int64),
        picks=result.picks,
        objective_before=result.objective_before,
        target_structure=targets.structure,
        target_atom=targets.atom,
        target_component=targets.component,
        target_weight=targets.weight,
        target_pr_before=before,
        target_pr_after=after,
        drift=result.drift,
        n_candidates=int(np.count_nonzero(allowed)),
        n_in_training=n_in_training,
        n_exact=result.n_exact,
        n_whitenings=result.n_whitenings,
        stopped=_why(result.stopped, options),
        options=options,
        n_resumed=len(begun),
        target_prior_share_before=share_before,
        target_prior_share_after=share_after,
        condition=condition,
        helped=helped,
        constraints=constraints,
        searches=searches,
        refinement=refinement,
        bound=bounded,
    )


def _check(
    record: HessianRecord,
    pool: Dataset,
    target: Dataset | None,
    options: SelectOptions,
    refine: int,
    bound: bool,
) -> None:
    """Refuse what cannot be selected, and warn of what is doubtful, before any long work."""
    check_request(pool, target, options)
    check_refinement(refine, options)
    if bound:
        check_bound(target is not None, options)
    for data in (pool, *([] if target is None else [target])):
        check_fits(record, data)
        warn_about_descriptors(data)
    if target is not None:
        warn_about_training(record, target)


def check_request(pool: Dataset, target: Dataset | None, options: SelectOptions) -> None:
    """Refuse what cannot be selected, before any long work.

    Raises
    ------
    RequestError
        If targets are needed and missing, or the pool holds too few candidates.
    FeatureError
        If targets are atoms and have no features, or components without named blocks.
    """
    needs_targets = OBJECTIVES[options.objective].needs_targets and options.strategy == "pr"
    if target is None and needs_targets:
        raise RequestError(
            f"the objective {options.objective} needs targets",
            where="--target",
            remedy="give --target, or use --objective log-det",
        )
    if target is not None:
        check_targets(target, options.target_per)
    check_enough(pool, pool.n_structures, options)


def check_enough(pool: Dataset, n_allowed: int, options: SelectOptions) -> None:
    """Refuse to pick more structures than may be picked.

    Raises
    ------
    RequestError
    """
    if (options.n_to_select or 1) > n_allowed:
        raise RequestError(
            "there are fewer candidates than structures to select",
            where=pool.label,
            expected=f"at least {options.n_to_select or 1} candidates",
            got=f"{n_allowed} candidates of {pool.n_structures} in the pool",
            remedy="ask for fewer, enlarge the pool, or loosen the filter",
        )


def _allowed(
    record: HessianRecord,
    pool: Dataset,
    options: SelectOptions,
    allowed: NDArray[np.bool_] | None,
    constraints: Constraints,
) -> tuple[NDArray[np.bool_], int]:
    """Candidates that may be picked, and how many of the pool are training structures."""
    allowed = np.ones(pool.n_structures, dtype=bool) if allowed is None else allowed
    allowed = constraints.without_excluded(allowed)
    known = np.isin(pool.digests, record.digests)
    n_known = int(np.count_nonzero(known))
    if n_known and options.exclude_train:
        allowed &= ~known
        logger.info("%d of the pool's structures are in the training set and left out", n_known)
    elif n_known:
        logger.warning(
            "%d of the pool's structures are in the training set; --exclude-train leaves them out",
            n_known,
        )
    check_enough(pool, int(np.count_nonzero(allowed)), options)
    return allowed, n_known


def _warn(result: GreedyResult, options: SelectOptions) -> None:
    """Warn of numbers that have drifted, and of picks that are missing."""
    if result.drift > LARGEST_DRIFT:
        logger.warning(
            "updated rigidities drifted by %.1e relative to a fresh factorization", result.drift
        )
    if result.stopped == "constraints" and options.n_to_select is not None:
        logger.warning(
            "%d of %d picks: under the constraints no other candidate may be picked",
            len(result.picks),
            options.n_to_select,
        )


def _why(stopped: str, options: SelectOptions) -> str:
    """Why a selection ended; without a number, only the pool itself can be one."""
    return "pool" if stopped == "n_to_select" and options.n_to_select is None else stopped


def _standing(
    record: HessianRecord, state: Posterior, targets: Targets
) -> tuple[FloatArray, FloatArray]:
    """Rigidities of all targets, those that do not count too, and the prior's shares of 1/PR."""
    factor = state.factor()
    whitened = whiten(targets.rows, factor)
    shares = prior_shares(whitened, factor, unscaled_prior_root(record), record.regularizer)
    return reciprocal(squared_norms(whitened)), shares


def _say_unresolved(before: FloatArray, after: FloatArray) -> None:
    """Say how many predictions the regularizer holds, and not the training set."""
    n_before, n_after = (int(np.count_nonzero(shares > MOSTLY)) for shares in (before, after))
    if n_before:
        logger.info(
            "of %s, %d %s held in place by the regularizer more than by training structures, and "
            "%d after the picks: their rigidities change with it",
            counted(len(before), "target"),
            n_before,
            "was" if n_before == 1 else "were",
            n_after,
        )
