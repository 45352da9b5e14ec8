"""Refit a model as structures are added, and see what that does to its errors on the targets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.hessian_record import HessianRecord
from prcli.numerics.refit import Regression
from prcli.numerics.rigidity import rigidities
from prcli.numerics.square_root import BLOCK_ROWS
from prcli.records import Progress, RowKind, no_progress
from prcli.workflows.evaluate_baseline import Baseline
from prcli.workflows.evaluate_rows import LabelledRows
from prcli.workflows.evaluate_selections import Curve
from prcli.workflows.evaluate_targets import MeasuredTargets
from prcli.workflows.model import full_factor, unscaled_prior_root
from prcli.workflows.targets import Targets

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of refitted models on rows of one kind.

    Attributes
    ----------
    rmse, mae : ndarray of shape (G, n_runs)
        eV/atom (eV for total energies) or eV/Å; nan where a selection was shorter.
    """

    rmse: FloatArray
    mae: FloatArray


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """What the structures of one curve do, as more and more of them are added.

    Attributes
    ----------
    name : str
    is_random : bool
        Whether it was selected at random.
    n_added : ndarray of shape (G,)
        Structures added, ascending.
    errors : dict of kind to Errors
        "energy", and "force" where forces of the targets are known.
    target_pr : ndarray of shape (G, n_runs)
        Mean rigidity of the targets; nan where a selection was shorter.
    n_atoms : ndarray of shape (G, n_runs)
        Atoms of the structures added.
    """

    name: str
    is_random: bool
    n_added: NDArray[np.int64]
    errors: dict[RowKind, Errors]
    target_pr: FloatArray
    n_atoms: FloatArray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Learning curves, and what they were made with.

    Attributes
    ----------
    curves : tuple of LearningCurve
    baseline : Baseline
    record : HessianRecord
        Of the base training set.
    """

    curves: tuple[LearningCurve, ...]
    baseline: Baseline
    record: HessianRecord

    @property
    def random(self) -> LearningCurve | None:
        """The random selection that others are compared with: the one of that name, or the first.

        One that was made before and among candidates that pass a filter cannot be told from one
        among all.
        """
        random = [curve for curve in self.curves if curve.is_random]
        named = [curve for curve in random if curve.name == "random"]
        return next(iter([*named, *random]), None)


class Refits:
    """Models fitted to the base training set and some of the pool.

    Parameters
    ----------
    record : HessianRecord
        Of the base training set.
    base : LabelledRows
        The base training set.
    pool : LabelledRows
        What is added.
    targets : Targets
        Whose rigidities are averaged.

    Raises
    ------
    RankError
        If rows and prior leave weights undetermined.
    """

    def __init__(
        self, record: HessianRecord, base: LabelledRows, pool: LabelledRows, targets: Targets
    ) -> None:
        self._pool = pool
        self._rows = targets.counted_rows
        self._shares = targets.shares
        self._weights: list[FloatArray] = []
        self._target_pr: list[float] = []
        # Names the prior where it is to blame.
        full_factor(record)
        self._base = Regression(record.n_columns)
        for rows, values in base.blocks():
            self._base.add_rows(rows, values)
        self._base.add_prior(unscaled_prior_root(record), record.regularizer)
        self._fit(self._base)

    @property
    def weights(self) -> FloatArray:
        """(D', K) weights of all models for unscaled rows; the first is that of the base."""
        return np.column_stack(self._weights)

    @property
    def target_pr(self) -> FloatArray:
        """(K,) mean rigidity of the targets."""
        return np.array(self._target_pr)

    def add(self, picks: NDArray[np.int64], counts: Sequence[int]) -> list[int]:
        """Fit models to the base and the first picks of a selection.

        Parameters
        ----------
        picks : ndarray of shape (n,)
            Positions in the pool.
        counts : sequence of int
            Ascending; models are fitted with so many picks, where there are as many.

        Returns
        -------
        places : list of int
            Number of the model for each count; −1 where picks are fewer.
        """
        grown, done, places = self._base.copy(), 0, []
        for count in counts:
            if count > len(picks):
                places.append(-1)
                continue
            self._grow(grown, picks[done:count])
            done = count
            places.append(self._fit(grown) if count else 0)
        return places

    def _grow(self, regression: Regression, picks: NDArray[np.int64]) -> None:
        """Add the rows of some picks, several at once where they are few."""
        waiting: list[tuple[FloatArray, FloatArray]] = []
        for index in picks.tolist():
            waiting += self._pool.take(index)
            if sum(len(values) for _, values in waiting) >= BLOCK_ROWS:
                _add_all(regression, waiting)
        _add_all(regression, waiting)

    def _fit(self, regression: Regression) -> int:
        fit = regression.fit()
        self._weights.append(fit.weights)
        self._target_pr.append(float(self._shares @ rigidities(self._rows, fit.factor)))
        return len(self._weights) - 1


def evaluate(
    record: HessianRecord,
    refits: Refits,
    curves: Sequence[Curve],
    counts: Sequence[int],
    n_atoms: NDArray[np.integer],
    measured: MeasuredTargets,
    baseline: Baseline,
    progress: Progress = no_progress,
) -> Evaluation:
    """Refit for every selection, and measure all models on the targets.

    Parameters
    ----------
    record : HessianRecord
        Of the base training set.
    refits : Refits
    curves : sequence of Curve
    counts : sequence of int
        Numbers of added structures, ascending.
    n_atoms : ndarray of shape (C,)
        Of the pool.
    measured : MeasuredTargets
    baseline : Baseline
        What energies are measured from.
    progress : callable

    Returns
    -------
    evaluation : Evaluation
    """
    places: list[NDArray[np.int64]] = []
    total, done = sum(len(curve.picks) for curve in curves), 0
    for curve in curves:
        columns = []
        for picks in curve.picks:
            columns.append(refits.add(picks, counts))
            done += 1
            progress("refits", done, total)
        places.append(np.array(columns, dtype=np.int64).T)
    sums = measured.errors(record, refits.weights, progress)
    found: list[LearningCurve] = []
    for curve, place in zip(curves, places, strict=True):
        # Numbers of added structures that no selection of the curve reaches are no point of it.
        reached = np.any(place >= 0, axis=1)
        found.append(
            LearningCurve(
                curve.name,
                curve.is_random,
                np.array(counts, dtype=np.int64)[reached],
                {
                    kind: Errors(_at(each.rmse, place[reached]), _at(each.mae, place[reached]))
                    for kind, each in sums.items()
                },
                _at(refits.target_pr, place[reached]),
                _atoms(curve, np.array(counts)[reached], n_atoms),
            )
        )
    return Evaluation(tuple(found), baseline, record)


def _add_all(regression: Regression, waiting: list[tuple[FloatArray, FloatArray]]) -> None:
    """Add all rows of a list, and empty it."""
    if waiting:
        rows, values = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
        regression.add_rows(rows, values)
        waiting.clear()


def _at(values: FloatArray, place: NDArray[np.int64]) -> FloatArray:
    """Values of models by their numbers; nan where there is none."""
    return np.where(place >= 0, values[place], np.nan)


def _atoms(curve: Curve, counts: NDArray[np.int64], n_atoms: NDArray[np.integer]) -> FloatArray:
    """Atoms of the first picks of every selection, shape (G, n_runs)."""
    columns = []
    for picks in curve.picks:
        sums = np.concatenate([[0.0], np.cumsum(n_atoms[picks], dtype=np.float64)])
        columns.append(np.where(counts < len(sums), sums[np.minimum(counts, len(picks))], np.nan))
    return np.column_stack(columns)
