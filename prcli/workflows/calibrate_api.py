"""Calibration from Python."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prcli.data.hessian_record import HessianRecord
from prcli.records import Progress, no_progress
from prcli.workflows import calibrate as calibration
from prcli.workflows.calibrate import Calibration
from prcli.workflows.calibrate_options import CalibrateOptions
from prcli.workflows.data_arguments import DataSet, as_tuple
from prcli.workflows.frames import Frames
from prcli.workflows.inputs import InputOptions, load_hessian, open_input


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
