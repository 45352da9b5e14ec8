"""Pruning from Python."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prcli.records import Progress, no_progress
from prcli.workflows.data_arguments import DataSet, as_tuple
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import InputOptions
from prcli.workflows.prune import Pruning
from prcli.workflows.prune_options import PruneOptions, PruneRequest
from prcli.workflows.prune_run import PruneRun


def prune(
    train: DataSet,
    target: DataSet,
    options: PruneOptions,
    *,
    target_weight: str | None = None,
    hessian_options: HessianOptions | None = None,
    structures: Iterable[str | Path] = (),
    inputs: InputOptions | None = None,
    output: str | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Pruning:
    """Find the training structures that the targets would miss least.

    Parameters
    ----------
    train : path, Features, ndarray of shape (S, D), or several
        Training set; structures of Hessian files stay.
    target : path, Features, ndarray of shape (T, D), or several
        Structures of interest.
    options : PruneOptions
        How much may go.
    target_weight : str, optional
        Column of the targets that holds weights.
    hessian_options : HessianOptions, optional
        Scale, regularizer and loss.
    structures : iterable of path
        Structure files of the training set, in place of those that its stores name.
    inputs : InputOptions, optional
    output : str, optional
        Result directory to write.
    overwrite : bool
    progress : callable, optional

    Returns
    -------
    pruning : Pruning

    Raises
    ------
    PrcliError
        If the input cannot be used as asked.
    """
    request = PruneRequest(
        options,
        as_tuple(train),
        as_tuple(target),
        hessian_options=hessian_options or HessianOptions(),
        inputs=inputs or InputOptions(),
        target_weight=target_weight,
        structures=tuple(map(str, structures)),
        output=output,
        overwrite=overwrite,
    )
    with PruneRun(request, progress) as run:
        pruning = run.run()
        if output is not None:
            run.write(output)
    return pruning
