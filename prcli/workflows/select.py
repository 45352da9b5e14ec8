"""Choose the candidates that most raise the rigidity of the structures a user cares about."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.numerics.greedy import GreedyResult, Pick
from prcli.records import ALONE, Communicator, Holding, Progress, no_progress
from prcli.workflows.candidate_rows import Weights, warn_about_kinds
from prcli.workflows.constraints import Constraints, neighbours_of
from prcli.workflows.found_picks import FoundPicks, find_picks
from prcli.workflows.model import check_fits, warn_about_descriptors, warn_about_training
from prcli.workflows.ranked_candidates import RankedCandidates
from prcli.workflows.select_checks import check_enough, check_request
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.selection import Selection
from prcli.workflows.selection_problem import SelectionProblem
from prcli.workflows.target_standing import say_unresolved
from prcli.workflows.targets import read_targets

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
    _check(record, pool, target, options)
    allowed, n_in_training = _allowed(record, pool, options, allowed, constraints)
    constraints.check(allowed, options, pool.label)
    targets = read_targets(record, target, options, target_weight)
    candidates = RankedCandidates(pool, record, weights, communicator, progress)
    warn_about_kinds(record, pool)
    near = neighbours_of(constraints.options, record, pool)
    limits = constraints.limits(allowed, options, near, record.scale)
    problem = SelectionProblem(record, candidates, targets, options, limits, holding or Holding())
    found = find_picks(
        problem,
        begun=begun,
        on_pick=on_pick,
        refine=refine,
        bound=bound,
        explain=explain,
        progress=progress,
    )
    _warn(found.result, options)
    say_unresolved(found.before, found.after)
    return _selection(problem, found, constraints, n_in_training, len(begun))


def _check(
    record: HessianRecord, pool: Dataset, target: Dataset | None, options: SelectOptions
) -> None:
    """Refuse what cannot be selected, and warn of what is doubtful, before any long work."""
    check_request(pool, target, options)
    for data in (pool, *([] if target is None else [target])):
        check_fits(record, data)
        warn_about_descriptors(data)
    if target is not None:
        warn_about_training(record, target)


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


def _selection(
    problem: SelectionProblem,
    found: FoundPicks,
    constraints: Constraints,
    n_in_training: int,
    n_resumed: int,
) -> Selection:
    """Put together what is told of a selection."""
    targets, result = problem.targets, found.result
    return Selection(
        indices=np.array([pick.index for pick in result.picks], dtype=np.int64),
        picks=result.picks,
        objective_before=result.objective_before,
        target_structure=targets.structure,
        target_atom=targets.atom,
        target_component=targets.component,
        target_weight=targets.weight,
        target_pr_before=found.before.rigidity,
        target_pr_after=found.after.rigidity,
        drift=result.drift,
        n_candidates=int(np.count_nonzero(~problem.limits.barred)),
        n_in_training=n_in_training,
        n_exact=result.n_exact,
        n_whitenings=result.n_whitenings,
        stopped=_why(result.stopped, problem.options),
        options=problem.options,
        n_resumed=n_resumed,
        target_prior_share_before=found.before.prior_share,
        target_prior_share_after=found.after.prior_share,
        condition=found.condition,
        helped=found.helped,
        constraints=constraints,
        searches=found.searches,
        refinement=found.refinement,
        bound=found.bound,
    )
