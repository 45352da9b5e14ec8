"""Find the training structures that the targets would miss least."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.numerics.backward import BackwardElimination, Removals
from prcli.numerics.block_source import BlockSource
from prcli.numerics.duplicates import exact_duplicates, near_duplicates
from prcli.numerics.remaining_rows import RemainingRows
from prcli.numerics.removal_check import RemovalStates, check_removals
from prcli.numerics.removal_objectives import REMOVAL_OBJECTIVES
from prcli.numerics.rigidity import inverse_rigidities, reciprocal
from prcli.numerics.square_root import SquareRoot
from prcli.records import Progress, no_progress
from prcli.workflows.model import kind_weight, unscaled_prior_root
from prcli.workflows.prune_options import PruneOptions
from prcli.workflows.rows import EnergyRows, RowForm
from prcli.workflows.targets import Targets

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Relative difference of downdated from checked rigidities that is worth a warning.
LARGEST_DRIFT = 1e-8


@dataclass(frozen=True, eq=False)
class Pruning:
    """What can go, and what that does.

    Attributes
    ----------
    indices : ndarray of shape (n,)
        Positions of removed structures in the training set, in the order of their removal:
        duplicates first.
    n_duplicates : int
        How many of them went as duplicates.
    original, distance : ndarray of shape (S,)
        For each training structure the earlier one that it is a duplicate of, and how far away
        that is; −1 and nan for all others.
    states : RemovalStates
        The targets before and after each removal.
    target_pr_before, target_pr_after : ndarray of shape (T,)
        Of all targets, by fresh factorizations.
    targets : Targets
    stopped : str
        "n_to_keep", "max_loss", "duplicates" or "needed".
    drift : float
        Largest relative difference of the mean rigidity as downdated from that of `states`, and
        of rigidities before all removals as added up again from the fresh ones.
    n_rounds, n_factorizations : int
        Passes over the training set to compare its structures, and to factorize it.
    options : PruneOptions
    """

    indices: NDArray[np.int64]
    n_duplicates: int
    original: NDArray[np.int64]
    distance: FloatArray
    states: RemovalStates
    target_pr_before: FloatArray
    target_pr_after: FloatArray
    targets: Targets
    stopped: str
    drift: float
    n_rounds: int
    n_factorizations: int
    options: PruneOptions

    @property
    def kept(self) -> NDArray[np.int64]:
        """Positions of the structures that stay, in ascending order."""
        stays = np.ones(len(self.original), dtype=bool)
        stays[self.indices] = False
        return np.flatnonzero(stays)

    @property
    def losses(self) -> FloatArray:
        """(n,) share of the mean rigidity that is lost, without duplicates; nan for these."""
        means = self.states.mean
        losses: FloatArray = 1.0 - means[1:] / means[self.n_duplicates]
        losses[: self.n_duplicates] = np.nan
        return losses

    @property
    def loss(self) -> float:
        """Share of the mean rigidity without duplicates that is lost in the end."""
        means = self.states.mean
        return float(1.0 - means[-1] / means[self.n_duplicates])


def prune(
    record: HessianRecord,
    fixed: tuple[HessianRecord, ...],
    data: Dataset,
    rows: BlockSource,
    targets: Targets,
    options: PruneOptions,
    progress: Progress = no_progress,
) -> Pruning:
    """Remove training structures one by one, the least missed first.

    Scale, regularizer, prior and the weights of the kinds of row stay those of the whole set.

    Parameters
    ----------
    record : HessianRecord
        Of the whole training set.
    fixed : tuple of HessianRecord
        The parts of it that stay.
    data : Dataset
        S structures that may go.
    rows : BlockSource
        Their weighted rows.
    targets : Targets
    options : PruneOptions
    progress : callable

    Returns
    -------
    pruning : Pruning
    """
    target_rows, weights = targets.counted_rows, targets.shares
    objective = REMOVAL_OBJECTIVES[options.objective]
    remaining = RemainingRows(
        rows, _fixed_factor(record, fixed), unscaled_prior_root(record), record.regularizer
    )
    before = remaining.posterior().factor()
    original, distance = find_duplicates(record, data, options)
    least = 1 if options.n_to_keep is None else options.n_to_keep
    first = np.flatnonzero(original >= 0)[: max(0, data.n_structures - least)]
    remaining.kept[first] = False
    removals = Removals((), (), "duplicates", 0)
    if options.max_loss is not None or options.n_to_keep is not None:
        search = BackwardElimination(
            remaining,
            target_rows,
            objective,
            weights,
            lambda n: progress("prune", len(first) + n, None),
        )
        removals = search.run(least, options.max_loss)
    indices = [*first.tolist(), *removals.indices]
    last = remaining.posterior()
    after = last.factor()
    states = check_removals(last, target_rows, indices, remaining.take, objective, weights)
    drift = _drift(states, removals, len(first), inverse_rigidities(target_rows, before))
    if drift > LARGEST_DRIFT:
        logger.warning(
            "downdated rigidities drifted by %.1e; the numbers told are those of fresh "
            "factorizations, but other structures may be missed as little",
            drift,
        )
    return Pruning(
        indices=np.array(indices, dtype=np.int64),
        n_duplicates=len(first),
        original=original,
        distance=distance,
        states=states,
        target_pr_before=reciprocal(inverse_rigidities(targets.rows, before)),
        target_pr_after=reciprocal(inverse_rigidities(targets.rows, after)),
        targets=targets,
        stopped=removals.stopped,
        drift=drift,
        n_rounds=removals.n_rounds,
        n_factorizations=remaining.n_factorizations,
        options=options,
    )


def find_duplicates(
    record: HessianRecord, data: Dataset, options: PruneOptions
) -> tuple[NDArray[np.int64], FloatArray]:
    """Tell which earlier structure each is a duplicate of, and how far away that is.

    Exact copies have equal numbers of atoms and equal features.
    """
    none = np.full(data.n_structures, -1, dtype=np.int64), np.full(data.n_structures, np.nan)
    if options.duplicates is None:
        return none
    if options.duplicates == 0.0:
        original = exact_duplicates(data.digests)
        return original, np.where(original >= 0, 0.0, np.nan)
    means = EnergyRows(data, RowForm(record.n_features))
    original, distance = near_duplicates(means, options.duplicates * record.scale)
    return original, distance / record.scale


def _fixed_factor(record: HessianRecord, fixed: tuple[HessianRecord, ...]) -> FloatArray:
    """Factor of the rows that stay in any case, weighed as in the whole Hessian."""
    root = SquareRoot(record.n_columns)
    for part in fixed:
        for kind, factor in part.R.items():
            if (weight := kind_weight(record, kind)) > 0.0:
                root.merge(np.sqrt(weight) * factor)
    return root.factor


def _drift(states: RemovalStates, removals: Removals, n_first: int, v_before: FloatArray) -> float:
    """Largest relative difference of numbers that were reached in two ways."""
    downdated = np.array(removals.means) / states.mean[n_first + 1 :]
    ratios = np.concatenate([downdated, states.v_before / v_before])
    return float(np.abs(ratios - 1.0).max(initial=0.0))
