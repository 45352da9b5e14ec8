"""Learning curves from what a user typed: open, check, sum, select, refit, measure."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset, check_alike
from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.parallel.memory import available_memory, format_size
from prcli.records import EnergyKind, Holding, Progress, RowKind, no_progress
from prcli.workflows.evaluate import Evaluation, Refits, evaluate
from prcli.workflows.evaluate_baseline import Baseline, choose_baseline, fit_baseline
from prcli.workflows.evaluate_plots import PLOTS, evaluation_figures
from prcli.workflows.evaluate_references import References
from prcli.workflows.evaluate_request import EvaluateRequest
from prcli.workflows.evaluate_selections import Curve, read_curves
from prcli.workflows.evaluate_sets import LabelledSet, candidate_set, training_set
from prcli.workflows.evaluate_strategies import candidate_masks, run_strategies, select_options
from prcli.workflows.evaluate_table import say_comparison
from prcli.workflows.evaluate_targets import MeasuredTargets
from prcli.workflows.frames import Frames
from prcli.workflows.hessian import common_form, sum_hessian
from prcli.workflows.inputs import (
    DataArgument,
    InputSet,
    check_stdin,
    open_inputs,
    split_hessians,
)
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.model import say_training_set, warn_about_training
from prcli.workflows.plots import check_plots, write_figures
from prcli.workflows.select_checks import check_request
from prcli.workflows.select_options import Strategy
from prcli.workflows.select_plan import counted_kinds, plan_selection
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.targets import read_targets

logger = logging.getLogger(__name__)
Mask = NDArray[np.bool_]


def run_evaluation(request: EvaluateRequest, progress: Progress = no_progress) -> Evaluation:
    """Refit, measure, say how selections compare with random ones, and write the figure.

    Parameters
    ----------
    request : EvaluateRequest
    progress : callable

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    PrcliError
        If the input cannot be used as asked, or an output cannot be written.
    """
    if not (request.selections or request.options.runs_strategies):
        raise RequestError(
            "there is nothing to evaluate",
            expected="result directories of prcli select, or strategies to run",
            remedy="give --selection, or --strategy and -n",
        )
    if request.plots is not None:
        check_plots(request.plots, PLOTS, request.overwrite)
    check_stdin([*request.train, *request.target, *request.pool])
    with ExitStack() as stack:
        sets = [
            InputSet("train", tuple(_without_hessians(request.train))),
            InputSet("target", request.target),
            InputSet("pool", request.pool, needs_atoms=False),
        ]
        train, target, pool = (
            stack.enter_context(data)
            for data in open_inputs(
                sets, request.inputs, reserved=request.structures, progress=progress
            )
        )
        evaluation = _Work(request, train, target, pool, progress).run()
    say_comparison(evaluation)
    if request.plots is not None:
        write_figures(request.plots, evaluation_figures(evaluation), request.overwrite)
    return evaluation


def _without_hessians(train: tuple[DataArgument, ...]) -> list[DataArgument]:
    """Refuse Hessian files, which know nothing of energies."""
    data, hessians = split_hessians(train)
    if hessians:
        raise RequestError(
            "a Hessian file holds no references that a model could be fitted to",
            where=hessians[0],
            expected="the feature sets that it was summed from",
            remedy="give these with --train",
        )
    return data


class _Work:
    """An evaluation of open data sets."""

    def __init__(
        self,
        request: EvaluateRequest,
        train: Dataset,
        target: Dataset,
        pool: Dataset,
        progress: Progress,
    ) -> None:
        self._request = request
        self._options = request.options
        self._train = train
        self._target = target
        self._pool = pool
        self._progress = progress
        self._holding = Holding()
        self._loss = request.hessian_options.loss or LossOptions()
        self._energy: EnergyKind = request.hessian_options.energy or "per-atom"

    def run(self) -> Evaluation:
        """Check everything that can be checked, then sum, select, refit and measure."""
        curves = read_curves(self._request.selections, self._pool)
        counts = self._check(curves)
        allowed, filtered = candidate_masks(
            self._pool, self._columns, self._request.where, self._options
        )
        base = self._base()
        additions = self._additions(curves, allowed, filtered)
        baseline = self._baseline(base)
        if "energy" in self._kinds:
            additions.check_baseline(baseline, self._energy)
        references = References(self._target, self._loss, lambda: Frames(self._target))
        measured = MeasuredTargets(self._target, references, baseline, self._energy)
        record = self._record()
        refits = Refits(
            record,
            base.rows(record, baseline),
            additions.rows(record, baseline),
            read_targets(record, self._target, select_options(self._options), None),
        )
        own = run_strategies(
            record,
            self._pool,
            self._target,
            self._options,
            allowed,
            filtered,
            additions.weights,
            self._holding,
            self._progress,
        )
        return evaluate(
            record,
            refits,
            (*own, *curves),
            counts,
            self._pool.n_atoms,
            measured,
            baseline,
            self._progress,
        )

    def _check(self, curves: tuple[Curve, ...]) -> tuple[int, ...]:
        """Refuse what cannot be evaluated; give the numbers of structures to add."""
        options = self._options
        for data in (self._target, self._pool):
            check_alike(self._train.parts[0].table, data.parts[0].table)
        check_request(self._pool, self._target, select_options(options))
        names = [*options.curve_names, *(curve.name for curve in curves)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise RequestError(
                "two curves have the same name",
                where=", ".join(repeated),
                remedy="name selections anew with --selection NAME=DIR",
            )
        lengths = [length for curve in curves for length in curve.ends]
        if options.runs_strategies and options.n_to_select is not None:
            lengths.append(options.n_to_select)
            self._check_memory()
        return options.counts_for(lengths)

    def _check_memory(self) -> None:
        """State what the selections will hold, and refuse what does not fit."""
        # The first of these that is asked for needs most.
        by_need: tuple[Strategy, ...] = ("pr", "fps", "random")
        strategy = next(name for name in by_need if name in (*self._options.strategies, "random"))
        options = select_options(self._options, strategy)
        given = self._request.memory
        limit = available_memory() if given is None else given
        width = common_form([self._train], [], self._request.hessian_options).n_columns
        plan = plan_selection(self._pool, self._target, options, self._gradient_kinds, width)
        plan = plan.within(limit)
        logger.info("plan: %s, of %s", plan, format_size(limit))
        self._holding = plan.holding

    def _base(self) -> LabelledSet:
        """Check the base training set; its energies are needed for the baseline too."""
        return training_set(
            self._train,
            self._loss,
            self._energy,
            self._kinds,
            needs_energies=self._options.baseline != "none",
        )

    def _additions(
        self, curves: tuple[Curve, ...], allowed: Mask, filtered: Mapping[str, Mask]
    ) -> LabelledSet:
        """Check the pool, of which everything that may be picked must have references."""
        chosen = np.zeros(self._pool.n_structures, dtype=bool)
        for curve in curves:
            for picks in curve.picks:
                chosen[picks] = True
        self._warn_about_training(chosen)
        for mask in (*([allowed] if self._options.strategies else ()), *filtered.values()):
            chosen |= mask
        self._warn_about_targets(chosen)
        return candidate_set(
            self._pool,
            self._request.hessian_options.loss,
            self._kinds,
            chosen,
            self._columns,
            lambda: self._pool_frames,
        )

    def _warn_about_training(self, picked: Mask) -> None:
        """Say how many structures that were picked before would be learned from twice."""
        n_both = int(np.count_nonzero(np.isin(self._pool.digests[picked], self._train.digests)))
        if n_both:
            logger.warning("%d picks are training structures, and count twice", n_both)

    def _warn_about_targets(self, chosen: Mask) -> None:
        """Say how many structures would be learned from and measured on."""
        n_both = int(np.count_nonzero(np.isin(self._pool.digests[chosen], self._target.digests)))
        if n_both:
            logger.warning(
                "%d candidates are targets: models that learn from one are measured on what they "
                "have learned",
                n_both,
            )

    def _baseline(self, base: LabelledSet) -> Baseline:
        """Fit energies of atoms to the base training set alone."""
        kind, species = choose_baseline(self._options.baseline, self._train)
        if kind == "none":
            return Baseline(kind, (), np.empty(0))
        baseline = fit_baseline(
            kind,
            species,
            self._train,
            self._energy,
            base.references.energies,
            base.energy_weights,
        )
        logger.info("baseline %s: %s", kind, baseline)
        return baseline

    def _record(self) -> HessianRecord:
        """Sum the Hessian of the base training set."""
        record = sum_hessian([self._train], [], self._request.hessian_options, self._progress)
        say_training_set(record)
        if self._loss.is_robust:
            logger.info(
                "refits are least squares, in which every row weighs what it weighs in the "
                "Hessian; they do not minimize the loss %s",
                self._loss.loss,
            )
        if not self._options.runs_strategies:
            warn_about_training(record, self._target)
        return record

    @cached_property
    def _gradient_kinds(self) -> tuple[RowKind, ...]:
        """Kinds of gradient row that the loss counts."""
        return counted_kinds(self._request.hessian_options, [self._train], [])

    @cached_property
    def _kinds(self) -> tuple[RowKind, ...]:
        """Kinds of row that the loss counts."""
        weight = self._request.hessian_options.energy_weight
        return ("energy", *self._gradient_kinds) if weight != 0.0 else self._gradient_kinds

    @cached_property
    def _pool_frames(self) -> Frames:
        return Frames(self._pool, self._request.structures)

    @cached_property
    def _columns(self) -> StructureColumns:
        """Columns of the pool."""
        return StructureColumns(self._pool, lambda: self._pool_frames)
