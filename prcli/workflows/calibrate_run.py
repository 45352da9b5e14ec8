"""Calibrate a Hessian file from what a user typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_file import write_hessian
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import make_provenance
from prcli.data.publish import check_not_input, check_output
from prcli.records import FileStamp, Progress, no_progress
from prcli.workflows.calibrate import Calibration, calibrate
from prcli.workflows.calibrate_options import CalibrateOptions
from prcli.workflows.calibration_plots import PLOTS, calibration_figures
from prcli.workflows.calibration_table import Groups, calibration_table, read_groups
from prcli.workflows.frames import Frames
from prcli.workflows.inputs import (
    DataArgument,
    InputOptions,
    load_hessian,
    open_input,
    paths_of,
    stamp_hessian,
    stamps_of,
)
from prcli.workflows.number_settings import featurizer_setting, number_settings
from prcli.workflows.plots import check_plots, write_figures


@dataclass(frozen=True)
class CalibrateRequest:
    """What to calibrate, with what, and where to.

    Attributes
    ----------
    hessian : path or HessianRecord
    valid : tuple of DataArgument
        Validation set.
    output : str
        Calibrated Hessian file to write.
    options : CalibrateOptions
    by : str, optional
        Column or key by which structures are grouped in the table.
    structures : tuple of path
        Structure files of the validation set, in place of those that its stores name.
    plots : str, optional
        Directory for plots.
    inputs : InputOptions
    overwrite, with_provenance : bool
    """

    hessian: str | Path | HessianRecord
    valid: tuple[DataArgument, ...]
    output: str
    options: CalibrateOptions = field(default_factory=CalibrateOptions)
    by: str | None = None
    structures: tuple[str | Path, ...] = ()
    plots: str | None = None
    inputs: InputOptions = field(default_factory=InputOptions)
    overwrite: bool = False
    with_provenance: bool = True


def run_calibration(
    request: CalibrateRequest, progress: Progress = no_progress
) -> tuple[Calibration, dict[str, NDArray[np.generic]]]:
    """Calibrate, write the calibrated Hessian file and the plots.

    Returns
    -------
    calibration : Calibration
    table : dict of column to array
        As `calibration_table`.

    Raises
    ------
    PrcliError
        If the input cannot be used as asked, or an output cannot be written.
    """
    _check_outputs(request)
    record = load_hessian(request.hessian)
    opened = open_input(
        request.valid,
        "validation",
        request.inputs,
        needs_atoms=False,
        records=[record],
        reserved=[request.output, *_files_read(request)],
        progress=progress,
    )
    with opened as data:

        @cache
        def open_frames() -> Frames:
            return Frames(data, request.structures)

        # Before the long work, so that a misspelt name is found at once.
        groups = None if request.by is None else read_groups(data, request.by, open_frames)
        calibration = calibrate(record, data, request.options, open_frames, progress)
        stamps = _stamps(request, data)
        featurizer = featurizer_setting(record.featurizer or data.featurizer)
    _write(request, calibration, groups, stamps, featurizer)
    return calibration, calibration_table(calibration, groups)


def _check_outputs(request: CalibrateRequest) -> None:
    """Refuse outputs that cannot be written, or are read, before any work."""
    check_output(request.output, request.overwrite)
    check_not_input(request.output, [*paths_of(request.valid), *_files_read(request)])
    if request.plots is not None:
        check_plots(request.plots, PLOTS, request.overwrite)


def _files_read(request: CalibrateRequest) -> list[str | Path]:
    """Files beside the validation set that are read."""
    hessian = [] if isinstance(request.hessian, HessianRecord) else [request.hessian]
    return [*hessian, *request.structures]


def _stamps(request: CalibrateRequest, data: Dataset) -> list[FileStamp]:
    if not request.with_provenance:
        return []
    stamps = [] if isinstance(request.hessian, HessianRecord) else [stamp_hessian(request.hessian)]
    return stamps + stamps_of(data)


def _write(
    request: CalibrateRequest,
    calibration: Calibration,
    groups: Groups | None,
    stamps: list[FileStamp],
    featurizer: Mapping[str, object],
) -> None:
    """Write the Hessian file, then the plots."""
    record, options = calibration.record, request.options
    provenance = None
    if request.with_provenance:
        settings = number_settings(record) | {
            **featurizer,
            "criterion": options.criterion,
            "joint": options.joint,
            "keep_regularizer": options.keep_regularizer,
            **({} if options.smallest_row is None else {"smallest_row": options.smallest_row}),
            "regularizer_before": calibration.regularizer_before,
            "validation_rows": {kind: each.rows.n_rows for kind, each in calibration.kinds.items()},
        }
        settings |= {f"{kind}_keys": options.keys.names(kind) for kind in calibration.kinds}
        provenance = make_provenance(stamps, settings)
    write_hessian(request.output, record, provenance, request.overwrite)
    if request.plots is not None:
        figures = calibration_figures(calibration, options.criterion)
        write_figures(request.plots, figures, request.overwrite)
