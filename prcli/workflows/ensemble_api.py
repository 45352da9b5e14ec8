"""Last-layer ensembles from Python."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prcli.data.hessian_record import HessianRecord
from prcli.records import Progress, no_progress
from prcli.workflows import ensemble as members
from prcli.workflows.data_arguments import DataSet, as_tuple
from prcli.workflows.ensemble import Ensemble
from prcli.workflows.ensemble_options import EnsembleOptions
from prcli.workflows.frames import Frames
from prcli.workflows.inputs import InputOptions, load_hessian, open_input


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
