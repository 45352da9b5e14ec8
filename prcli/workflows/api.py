"""The use cases on arrays and on files, for Python programs: what ``import prcli`` offers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from prcli.data.features import Features
from prcli.data.hessian_record import HessianRecord
from prcli.records import EnergyKind, InterceptKind, Progress, Reduction, no_progress
from prcli.workflows import calibrate as calibration
from prcli.workflows import ensemble as members
from prcli.workflows import score as scoring
from prcli.workflows.calibrate import Calibration
from prcli.workflows.calibrate_options import CalibrateOptions
from prcli.workflows.constraint_options import ConstraintOptions
from prcli.workflows.ensemble import Ensemble
from prcli.workflows.ensemble_options import EnsembleOptions
from prcli.workflows.frames import Frames
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions, override
from prcli.workflows.inputs import (
    DataArgument,
    InputOptions,
    load_hessian,
    open_input,
    split_hessians,
)
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.prior import PriorChoice
from prcli.workflows.scores import ScorePer, Scores
from prcli.workflows.select import Selection
from prcli.workflows.select_options import SelectOptions, Strategy, TargetPer
from prcli.workflows.select_run import SelectRequest, SelectRun
from prcli.workflows.write_options import WriteOptions

#: One data set: a path, features in memory, an array (S, D), or several of them.
DataSet: TypeAlias = DataArgument | Iterable[DataArgument]


def hessian(
    train: DataSet,
    *,
    energy: EnergyKind | None = None,
    intercept: InterceptKind | None = None,
    scale: str | float | None = None,
    regularizer: float | str | None = None,
    allow_duplicates: bool = False,
    energy_weight: float | None = None,
    force_weight: float | None = None,
    stress_weight: float | None = None,
    reduction: Reduction | None = None,
    prior: PriorChoice | None = None,
    loss: LossOptions | None = None,
    inputs: InputOptions | None = None,
    progress: Progress = no_progress,
) -> HessianRecord:
    """Build the Hessian of the loss over a training set.

    Parameters
    ----------
    train : path, Features, ndarray of shape (S, D), or several
        Stores, structure files with features, mean features in memory, and Hessian files,
        in any mix.
    energy : {"per-atom", "total"}, optional
        Rows of energies; per-atom by default.
    intercept : {"none", "atom", "species"}, optional
        Constant columns beside the features; none by default.
    scale : {"atom-rms", "structure-rms", "none"} or float, optional
        What all features are divided by; atom-rms where there are features of atoms, else
        structure-rms.
    regularizer : float or "auto", optional
        ς², the number added to the diagonal of the Hessian of the scaled features; 1e-5 by
        default.
    allow_duplicates : bool
        Accept a structure that is counted twice.
    energy_weight, force_weight, stress_weight : float, optional
        Weights of the kinds of row in the loss; 1 for energies, and for forces and stresses
        where there are any, by default.
    reduction : {"sum", "mean"}, optional
        Whether a kind of row enters by its sum, the default, or by its mean.
    prior : "identity", path or ndarray of shape (n,) or (n, n), optional
        Of the scaled features, n of them or with the intercept; identity by default.
    loss : LossOptions, optional
        Squared errors by default.
    inputs : InputOptions, optional
        How structure files are read, or their features computed.
    progress : callable, optional

    Returns
    -------
    record : HessianRecord

    Raises
    ------
    PrcliError
        If the input cannot be used as asked.
    """
    options = HessianOptions(
        energy,
        intercept,
        scale,
        regularizer,
        allow_duplicates,
        energy_weight,
        force_weight,
        stress_weight,
        reduction,
        prior,
        loss,
    )
    data, files = split_hessians(as_tuple(train))
    records = [load_hessian(path) for path in files]
    if not data:
        return sum_hessian([], records, options, progress)
    with open_input(data, "train", inputs, records=records, progress=progress) as opened:
        return sum_hessian([opened], records, options, progress)


def score(
    hessian: str | Path | HessianRecord,
    data: DataSet,
    *,
    per: ScorePer = "structure",
    scale: str | float | None = None,
    regularizer: float | str | None = None,
    energy_weight: float | None = None,
    force_weight: float | None = None,
    stress_weight: float | None = None,
    reduction: Reduction | None = None,
    prior: PriorChoice | None = None,
    inputs: InputOptions | None = None,
    progress: Progress = no_progress,
) -> Scores:
    """Compute the rigidity of every structure, atom, force, stress or component of a data set.

    Parameters
    ----------
    hessian : path or HessianRecord
    data : path, Features, ndarray of shape (S, D), or several
    per : {"structure", "atom", "force", "stress", "component", "atom-component"}
        PR of structures, LPR of atoms, PR of every component of forces or stresses, or CPR of
        structures or LCPR of atoms of every named block of features.
    scale, regularizer, energy_weight, force_weight, stress_weight, reduction, prior : optional
        In place of what the Hessian stores.
    inputs : InputOptions, optional
    progress : callable, optional

    Returns
    -------
    scores : Scores

    Raises
    ------
    PrcliError
        If the input cannot be used as asked.
    """
    options = HessianOptions(
        scale=scale,
        regularizer=regularizer,
        energy_weight=energy_weight,
        force_weight=force_weight,
        stress_weight=stress_weight,
        reduction=reduction,
        prior=prior,
    )
    record = override(load_hessian(hessian), options)
    given = open_input(
        as_tuple(data),
        "scored",
        inputs,
        needs_atoms=per == "atom",
        needs_gradients=per in ("force", "stress"),
        per=per,
        records=[record],
        progress=progress,
    )
    with given as opened:
        return scoring.score(record, opened, per, progress)


def calibrate(
    hessian: str | Path | HessianRecord,
    valid: DataSet,
    *,
    options: CalibrateOptions | None = None,
    structures: Iterable[str | Path] = (),
    inputs: InputOptions | None = None,
    progress: Progress = no_progress,
) -> Calibration:
    """Fit the regularizer and the calibration factors to a validation set.

    Parameters
    ----------
    hessian : path or HessianRecord
    valid : path, Features, or several
        Validation structures, with references and predictions in columns or comment lines.
    options : CalibrateOptions, optional
    structures : iterable of path
        Structure files of the set, in place of those that its stores name.
    inputs : InputOptions, optional
    progress : callable, optional

    Returns
    -------
    calibration : Calibration
        Its `record` is the calibrated Hessian.

    Raises
    ------
    PrcliError
        If the input cannot be used as asked.
    """
    record = load_hessian(hessian)
    opened = open_input(
        as_tuple(valid),
        "validation",
        inputs,
        needs_atoms=False,
        records=[record],
        progress=progress,
    )
    with opened as data:
        return calibration.calibrate(
            record,
            data,
            options or CalibrateOptions(),
            lambda: Frames(data, tuple(structures)),
            progress,
        )


def ensemble(
    hessian: str | Path | HessianRecord,
    data: DataSet,
    *,
    options: EnsembleOptions | None = None,
    structures: Iterable[str | Path] = (),
    inputs: InputOptions | None = None,
    progress: Progress = no_progress,
) -> Ensemble:
    """Let the members of a last-layer ensemble predict a data set.

    A derived quantity is propagated by computing it from each column of `members`.

    Parameters
    ----------
    hessian : path or HessianRecord
        Calibrated, unless the options say by what factor.
    data : path, Features, ndarray of shape (S, D), or several
    options : EnsembleOptions, optional
        Members, what they predict, and where predictions of the model come from.
    structures : iterable of path
        Structure files of the set, in place of those that its stores name.
    inputs : InputOptions, optional
    progress : callable, optional

    Returns
    -------
    ensemble : Ensemble

    Raises
    ------
    PrcliError
        If the input cannot be used as asked.
    """
    record = load_hessian(hessian)
    per = "structure" if options is None else options.per
    given = open_input(
        as_tuple(data),
        "predicted",
        inputs,
        needs_atoms=per == "atom",
        needs_gradients=per in ("force", "stress"),
        records=[record],
        progress=progress,
    )
    with given as opened:
        return members.ensemble(
            record, opened, options, lambda: Frames(opened, tuple(structures)), progress
        )


def select(
    pool: DataSet,
    n_to_select: int | None = None,
    *,
    train: DataSet | None = None,
    hessian: str | Path | HessianRecord | None = None,
    target: DataSet | None = None,
    objective: str = "mean-pr",
    strategy: Strategy = "pr",
    target_per: TargetPer = "structure",
    target_weight: str | None = None,
    exclude_train: bool = False,
    where: str | None = None,
    stop_gain: float | None = None,
    stop_pr: float | None = None,
    seed: int = 0,
    constraints: ConstraintOptions | None = None,
    refine: int = 0,
    bound: bool = False,
    explain: bool | None = None,
    writers: WriteOptions | None = None,
    energy: EnergyKind | None = None,
    intercept: InterceptKind | None = None,
    scale: str | float | None = None,
    regularizer: float | str | None = None,
    allow_duplicates: bool = False,
    energy_weight: float | None = None,
    force_weight: float | None = None,
    stress_weight: float | None = None,
    reduction: Reduction | None = None,
    prior: PriorChoice | None = None,
    loss: LossOptions | None = None,
    structures: Iterable[str | Path] = (),
    memory: int | None = None,
    inputs: InputOptions | None = None,
    output: str | None = None,
    overwrite: bool = False,
    checkpoint: str | None = None,
    progress: Progress = no_progress,
) -> Selection:
    """Pick the candidates that most raise the rigidity of the targets.

    Parameters
    ----------
    pool : path, Features, ndarray of shape (C, D), or several
        Candidates.
    n_to_select : int, optional
        May be left out where the constraints have a budget.
    train : path, Features, ndarray of shape (S, D), or several, optional
        Training set; or give `hessian`.
    hessian : path or HessianRecord, optional
    target : path, Features, ndarray of shape (T, D), or several, optional
        Structures of interest.
    objective : str
        "mean-pr", "mean-log-pr", "min-pr", "mean-variance" or "log-det".
    strategy : {"pr", "random", "fps", "leverage"}
    target_per : {"structure", "atom", "component"}
    target_weight : str, optional
        Column of the targets that holds weights.
    exclude_train : bool
        Leave out candidates that are training structures.
    where : str, optional
        Filter on the pool, such as ``"density < 2.0"``.
    stop_gain, stop_pr : float, optional
        Stop early; see `SelectOptions`.
    seed : int
        For the random strategy.
    constraints : ConstraintOptions, optional
        Budget, quotas, distances, and what was chosen before.
    refine : int
        Sweeps of exchanges after the greedy search.
    bound : bool
        Bound what any selection can gain.
    explain : bool, optional
        Note which targets each pick helps; by default where an output is written.
    writers : WriteOptions, optional
        Files for other programs in the output.
    energy, intercept, scale, regularizer, allow_duplicates : optional
        As for `hessian`.
    energy_weight, force_weight, stress_weight, reduction, prior, loss : optional
        As for `hessian`. Candidates count by the same weights.
    structures : iterable of path
        Structure files of the pool, in place of those that its stores name.
    memory : int, optional
        Bytes that may be held; by default what the machine allows.
    inputs : InputOptions, optional
    output : str, optional
        Result directory to write.
    overwrite : bool
    checkpoint : str, optional
        File that keeps the picks until the result is there, so that the same call goes on; by
        default ``OUTPUT.checkpoint``, and none without an output.
    progress : callable, optional

    Returns
    -------
    selection : Selection

    Raises
    ------
    PrcliError
        If the input cannot be used as asked.
    """
    options = SelectOptions(
        n_to_select, objective, strategy, target_per, exclude_train, stop_gain, stop_pr, seed
    )
    request = SelectRequest(
        options=options,
        pool=as_tuple(pool),
        target=() if target is None else as_tuple(target),
        train=() if train is None else as_tuple(train),
        hessian=hessian,
        hessian_options=HessianOptions(
            energy,
            intercept,
            scale,
            regularizer,
            allow_duplicates,
            energy_weight,
            force_weight,
            stress_weight,
            reduction,
            prior,
            loss,
        ),
        inputs=inputs or InputOptions(),
        where=where,
        target_weight=target_weight,
        structures=tuple(structures),
        memory=memory,
        output=output,
        overwrite=overwrite,
        checkpoint=checkpoint,
        constraints=constraints or ConstraintOptions(),
        refine=refine,
        bound=bound,
        explain=output is not None if explain is None else explain,
        writers=writers,
    )
    with SelectRun(request, progress) as run:
        selection = run.run()
        if output is not None:
            run.write(output)
    return selection


def as_tuple(data: Any) -> tuple[DataArgument, ...]:
    """Take one argument for a set of one."""
    single = isinstance(data, (str, Path, Features, np.ndarray))
    return (data,) if single else tuple(data)
