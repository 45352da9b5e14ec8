"""Selection from Python."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prcli.data.hessian_record import HessianRecord
from prcli.records import EnergyKind, InterceptKind, Progress, Reduction, no_progress
from prcli.workflows.constraint_options import ConstraintOptions
from prcli.workflows.data_arguments import DataSet, as_tuple
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import InputOptions
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.prior import PriorChoice
from prcli.workflows.select_options import SelectOptions, Strategy, TargetPer
from prcli.workflows.select_run import SelectRequest, SelectRun
from prcli.workflows.selection import Selection
from prcli.workflows.write_options import WriteOptions


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
