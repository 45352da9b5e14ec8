"""Choose the candidates that most raise the rigidity of the structures a user cares about."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError, RequestError
from prcli.numerics.greedy import GreedyResult, Pick
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.rigidity import prior_shares, reciprocal, squared_norms, whiten
from prcli.records import Progress, no_progress
from prcli.workflows.candidate_rows import CandidateRows, Weights, warn_about_kinds
from prcli.workflows.model import (
    check_fits,
    posterior,
    unscaled_prior_root,
    warn_about_descriptors,
    warn_about_training,
)
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.selection_loop import add_picks, pick_candidates
from prcli.workflows.targets import Targets, read_targets

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Share of 1/PR from which the regularizer is said to hold a prediction.
MOSTLY = 0.5

#: Relative drift of the updated rigidities that is worth a warning.
LARGEST_DRIFT = 1e-8


@dataclass(frozen=True, eq=False)
class Selection:
    """What was selected, and what it does.

    Attributes
    ----------
    indices : ndarray of shape (n,)
        Positions in the concatenated pool, in the order of the picks.
    picks : tuple of Pick
    objective_before : float
        Value of the objective before the first pick.
    target_structure : ndarray of shape (T,)
        Structure of the target set that each target belongs to.
    target_atom : ndarray of shape (T,) or None
        Position in the structure, where targets are atoms.
    target_weight : ndarray of shape (T,)
        Weights as given, 1 by default; 0 for targets that do not count.
    target_pr_before, target_pr_after : ndarray of shape (T,)
        Rigidities, the latter from a fresh factorization; infinite for a row of zeros.
    drift : float
        Largest relative difference of the updated rigidities from the fresh ones.
    n_candidates : int
        Candidates that could be picked.
    n_in_training : int
        Candidates that are training structures.
    n_exact, n_whitenings : int
        Gains computed exactly, and fresh whitenings of the pool.
    stopped : str
        "n_to_select", "stop_gain" or "stop_pr".
    options : SelectOptions
    n_resumed : int
        Picks that an earlier run had made; the two counts above are without its work.
    target_prior_share_before, target_prior_share_after : ndarray of shape (T,)
        Share of each target's 1/PR that the regularizer alone accounts for.
    """

    indices: NDArray[np.int64]
    picks: tuple[Pick, ...]
    objective_before: float
    target_structure: NDArray[np.int64]
    target_atom: NDArray[np.int64] | None
    target_weight: FloatArray
    target_pr_before: FloatArray
    target_pr_after: FloatArray
    drift: float
    n_candidates: int
    n_in_training: int
    n_exact: int
    n_whitenings: int
    stopped: str
    options: SelectOptions
    n_resumed: int = 0
    target_prior_share_before: FloatArray = field(default_factory=lambda: np.empty(0))
    target_prior_share_after: FloatArray = field(default_factory=lambda: np.empty(0))

    @property
    def objective_after(self) -> float:
        """Value of the objective after the last pick."""
        return self.picks[-1].objective if self.picks else self.objective_before

    @property
    def n_infinite(self) -> int:
        """Targets that are rows of zeros: listed, and left out of every mean."""
        return int(np.count_nonzero(np.isinf(self.target_pr_before)))


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
    progress: Progress = no_progress,
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
    progress : callable

    Returns
    -------
    selection : Selection

    Raises
    ------
    RequestError
        If there are fewer candidates than picks, or targets are needed and missing.
    """
    check_request(pool, target, options)
    for data in (pool, *([] if target is None else [target])):
        check_fits(record, data)
        warn_about_descriptors(data)
    allowed, n_in_training = _allowed(record, pool, options, allowed)
    if target is not None:
        warn_about_training(record, target)
    targets = read_targets(record, target, options, target_weight)
    candidates = CandidateRows(pool, record, weights)
    warn_about_kinds(record, pool)

    def report(n_picks: int, pick: Pick) -> None:
        # What keeps picks comes before what may end the run.
        if on_pick is not None:
            on_pick(pick)
        progress("select", n_picks, options.n_to_select)

    result = pick_candidates(
        record, candidates, targets, options, allowed, begun=begun, on_pick=report
    )
    if result.drift > LARGEST_DRIFT:
        logger.warning(
            "updated rigidities drifted by %.1e relative to a fresh factorization", result.drift
        )
    before, after = _all_rigidities(record, candidates, targets, result)
    share_before, share_after = _prior_shares(record, candidates, targets, result)
    _say_unresolved(share_before, share_after)
    return Selection(
        indices=np.array([pick.index for pick in result.picks], dtype=np.int64),
        picks=result.picks,
        objective_before=result.objective_before,
        target_structure=targets.structure,
        target_atom=targets.atom,
        target_weight=targets.weight,
        target_pr_before=before,
        target_pr_after=after,
        drift=result.drift,
        n_candidates=int(np.count_nonzero(allowed)),
        n_in_training=n_in_training,
        n_exact=result.n_exact,
        n_whitenings=result.n_whitenings,
        stopped=result.stopped,
        options=options,
        n_resumed=len(begun),
        target_prior_share_before=share_before,
        target_prior_share_after=share_after,
    )


def check_request(pool: Dataset, target: Dataset | None, options: SelectOptions) -> None:
    """Refuse what cannot be selected, before any long work.

    Raises
    ------
    RequestError
        If targets are needed and missing, or the pool holds too few candidates.
    FeatureError
        If targets are atoms and have no features.
    """
    needs_targets = OBJECTIVES[options.objective].needs_targets and options.strategy == "pr"
    if target is None and needs_targets:
        raise RequestError(
            f"the objective {options.objective} needs targets",
            where="--target",
            remedy="give --target, or use --objective log-det",
        )
    if target is not None and options.target_per == "atom" and not target.has_atoms:
        raise FeatureError(
            "targets per atom need features of atoms",
            where=target.label,
            remedy="import features with --convention per-atom, or use --target-per structure",
        )
    check_enough(pool, pool.n_structures, options)


def check_enough(pool: Dataset, n_allowed: int, options: SelectOptions) -> None:
    """Refuse to pick more structures than may be picked.

    Raises
    ------
    RequestError
    """
    if options.n_to_select > n_allowed:
        raise RequestError(
            "there are fewer candidates than structures to select",
            where=pool.label,
            expected=f"at least {options.n_to_select} candidates",
            got=f"{n_allowed} candidates of {pool.n_structures} in the pool",
            remedy="ask for fewer, enlarge the pool, or loosen the filter",
        )


def _allowed(
    record: HessianRecord,
    pool: Dataset,
    options: SelectOptions,
    allowed: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.bool_], int]:
    """Candidates that may be picked, and how many of the pool are training structures."""
    allowed = np.ones(pool.n_structures, dtype=bool) if allowed is None else allowed.copy()
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


def _all_rigidities(
    record: HessianRecord, candidates: CandidateRows, targets: Targets, result: GreedyResult
) -> tuple[FloatArray, FloatArray]:
    """Rigidities of all targets, those that do not count too, by fresh factorizations."""
    before, after = np.empty(len(targets.rows)), np.empty(len(targets.rows))
    before[targets.counts], after[targets.counts] = result.v_before, result.v_after
    others = ~targets.counts
    if others.any():
        state = posterior(record)
        before[others] = squared_norms(whiten(targets.rows[others], state.factor()))
        add_picks(state, candidates, result.picks)
        after[others] = squared_norms(whiten(targets.rows[others], state.factor()))
    return reciprocal(before), reciprocal(after)


def _prior_shares(
    record: HessianRecord, candidates: CandidateRows, targets: Targets, result: GreedyResult
) -> tuple[FloatArray, FloatArray]:
    """Shares of the targets' 1/PR that the regularizer holds, before and after the picks."""
    root, state = unscaled_prior_root(record), posterior(record)
    before = prior_shares(targets.rows, state.factor(), root, record.regularizer)
    add_picks(state, candidates, result.picks)
    return before, prior_shares(targets.rows, state.factor(), root, record.regularizer)


def _say_unresolved(before: FloatArray, after: FloatArray) -> None:
    """Say how many predictions the regularizer holds, and not the training set."""
    n_before, n_after = (int(np.count_nonzero(shares > MOSTLY)) for shares in (before, after))
    if n_before:
        logger.info(
            "of %d targets, %d were held in place by the regularizer more than by training "
            "structures, and %d are after the picks: their rigidities change with it",
            len(before),
            n_before,
            n_after,
        )
