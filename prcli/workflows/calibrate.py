"""Regularizer and calibration factors from a validation set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import ROW_KINDS, HessianRecord
from prcli.errors import RequestError
from prcli.numerics.calibration import Sample, best_alpha
from prcli.numerics.condition import condition_of
from prcli.numerics.regularizer_scan import RegularizerScan
from prcli.records import Progress, RowKind, no_progress
from prcli.workflows.calibrate_options import CalibrateOptions
from prcli.workflows.frames import Frames
from prcli.workflows.health import MOSTLY, say_condition, say_held
from prcli.workflows.measured_rows import MeasuredRows, leave_out_small, measure_rows
from prcli.workflows.model import check_fits, full_factor, row_form, scales
from prcli.workflows.regularizer import warn_rounding
from prcli.workflows.regularizer_choice import choose_regularizer
from prcli.workflows.residual_warnings import FEW_ROWS, warn_of_residuals
from prcli.workflows.validation_residuals import PLURALS, read_residuals
from prcli.workflows.validation_rows import KindOfRow, ValidationRows

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Rows without which nothing can be fitted.
FEWEST_ROWS = 2


@dataclass(frozen=True, eq=False)
class Uncertainties:
    """Uncertainties of some rows, with one regularizer and calibration factor.

    Attributes
    ----------
    alpha : float
        1 where there was none.
    sigma : ndarray of shape (n,)
        α/√PR, in the unit of the residuals.
    held : ndarray of bool of shape (n,)
        Rows that the regularizer holds in place, more than the training rows do.
    """

    alpha: float
    sigma: FloatArray
    held: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CalibratedKind:
    """What calibration did to one kind of row.

    Attributes
    ----------
    rows : KindOfRow
        Residuals in eV/atom (eV for total energies), eV/Å or eV/Å³, and the rows left out.
    before, after : Uncertainties
        Of the rows that take part.
    """

    rows: KindOfRow
    before: Uncertainties
    after: Uncertainties


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated Hessian, and how it came about.

    Attributes
    ----------
    record : HessianRecord
        With the regularizer and the calibration factors that were found.
    regularizer_before : float
    kinds : dict of kind to CalibratedKind
    scan : RegularizerScan, optional
        None where the regularizer was kept.
    """

    record: HessianRecord
    regularizer_before: float
    kinds: dict[RowKind, CalibratedKind]
    scan: RegularizerScan | None


def calibrate(
    record: HessianRecord,
    data: Dataset,
    options: CalibrateOptions | None = None,
    open_frames: Callable[[], Frames] | None = None,
    progress: Progress = no_progress,
) -> Calibration:
    """Fit regularizer and calibration factors to the residuals of a validation set.

    The regularizer is shared, so it is the one of lowest mean cost over energies, forces and
    stresses as far as there are any; each kind counts alike, since the rows of one structure's
    forces are many but not independent.

    Parameters
    ----------
    record : HessianRecord
        Left as it is.
    data : Dataset
        Validation set.
    options : CalibrateOptions, optional
    open_frames : callable, optional
        Opens the structure files of the set, where references or predictions are in them.
    progress : callable

    Returns
    -------
    calibration : Calibration

    Raises
    ------
    PrcliError
        If the set does not fit the Hessian, overlaps with its training set, or has too few
        residuals.
    """
    options = options or CalibrateOptions()
    check_fits(record, data)
    _check_overlap(record, data, options)
    residuals = read_residuals(
        data, record.energy, options.keys, open_frames or (lambda: Frames(data))
    )
    rows = ValidationRows(data, row_form(record), residuals)
    before = leave_out_small(rows, measure_rows(record, rows, progress), data, options.smallest_row)
    _check_enough(rows, data)
    scan, after = None, before
    calibrated = record
    if not options.keep_regularizer:
        scan = choose_regularizer(record, rows, options, progress)
        calibrated = replace(record, regularizer=scan.best)
        after = measure_rows(calibrated, rows, progress)
    alphas = _fit(rows, after, options)
    calibrated = _with_alphas(calibrated, alphas, options)
    warn_of_residuals(rows, after, data, options.criterion)
    if "float32" in data.dtypes:
        warn_rounding(calibrated)
    kinds = {
        kind: CalibratedKind(
            each,
            _uncertainties(_stored_alpha(record, kind), before[kind]),
            _uncertainties(alphas[kind], after[kind]),
        )
        for kind, each in rows.kinds.items()
    }
    say_condition(condition_of(full_factor(calibrated) / scales(calibrated)))
    for kind, each in kinds.items():
        say_held(int(np.count_nonzero(each.after.held)), each.rows.n_rows, f"{kind} rows")
    return Calibration(calibrated, record.regularizer, kinds, scan)


def unit_of(kind: RowKind, record: HessianRecord) -> str:
    """Name the unit of residuals and calibration factor of one kind of row."""
    energy = "eV/atom" if record.energy == "per-atom" else "eV"
    return {"energy": energy, "force": "eV/Å", "stress": "eV/Å³"}[kind]


def _check_overlap(record: HessianRecord, data: Dataset, options: CalibrateOptions) -> None:
    """Refuse validation structures on which the model was trained: their errors are smaller."""
    overlap = np.isin(data.digests, record.digests)
    n_overlap = int(np.count_nonzero(overlap))
    if not n_overlap:
        return
    if options.allow_overlap:
        logger.warning(
            "%d of %d validation structures are in the training set; their residuals are smaller "
            "than those of new structures",
            n_overlap,
            data.n_structures,
        )
        return
    part, position = data.locate(int(np.argmax(overlap)))
    raise RequestError(
        "validation structures are in the training set",
        where=f"{part.table.label}, structure {position} and {n_overlap - 1} others",
        expected="structures that the model has not seen",
        got=f"{n_overlap} of {data.n_structures} that it was trained on",
        remedy="leave them out, or accept uncertainties that are too small with --allow-overlap",
    )


def _uncertainties(alpha: float, measured: MeasuredRows) -> Uncertainties:
    return Uncertainties(alpha, alpha * np.sqrt(measured.variances), measured.shares > MOSTLY)


def _check_enough(rows: ValidationRows, data: Dataset) -> None:
    """Refuse kinds of row that nothing can be fitted to."""
    for kind, each in rows.kinds.items():
        if each.n_rows < FEWEST_ROWS:
            raise RequestError(
                f"too few {PLURALS[kind]} to calibrate with",
                where=data.label,
                expected=f"at least {FEWEST_ROWS} with reference, prediction and finite rigidity",
                got=str(each.n_rows),
            )
        if not each.residuals.any():
            raise RequestError(
                f"all {PLURALS[kind]} are predicted without any error",
                where=data.label,
                expected="predictions of a model that differ from the references",
                remedy=f"check --{'' if kind == 'energy' else kind + '-'}reference and "
                f"--{'' if kind == 'energy' else kind + '-'}predicted",
            )
        if each.n_rows < FEW_ROWS:
            logger.warning("only %d %s to calibrate with", each.n_rows, PLURALS[kind])


def _fit(
    rows: ValidationRows, measured: Mapping[RowKind, MeasuredRows], options: CalibrateOptions
) -> dict[RowKind, float]:
    """Best α of each kind, or one of all."""
    samples = {
        kind: Sample(each.residuals, measured[kind].variances) for kind, each in rows.kinds.items()
    }
    groups = [list(samples)] if options.joint else [[kind] for kind in samples]
    alphas: dict[RowKind, float] = {}
    for group in groups:
        alpha = best_alpha(options.criterion, [samples[kind] for kind in group])
        if not alpha > 0.0:
            raise RequestError(
                f"the criterion {options.criterion} has no best calibration factor",
                where=" and ".join(PLURALS[kind] for kind in group),
                expected="residuals of which most are not zero",
                remedy="use --criterion nll",
            )
        alphas |= dict.fromkeys(group, alpha)
    return alphas


def _with_alphas(
    record: HessianRecord, alphas: Mapping[RowKind, float], options: CalibrateOptions
) -> HessianRecord:
    """Store the factors; those of other kinds stay only where the regularizer did."""
    stored: dict[RowKind, float | None] = {
        kind: getattr(record, f"alpha_{kind}") for kind in ROW_KINDS
    }
    for kind in ROW_KINDS:
        if kind in alphas:
            stored[kind] = alphas[kind]
            logger.info("alpha_%s %.6g %s", kind, alphas[kind], unit_of(kind, record))
        elif options.joint:
            stored[kind] = next(iter(alphas.values()))
            logger.info("alpha_%s is the same; there is nothing to check it with", kind)
        elif stored[kind] is not None and not options.keep_regularizer:
            stored[kind] = None
            logger.warning("alpha_%s no longer holds with another regularizer: dropped", kind)
    return replace(
        record,
        alpha_energy=stored["energy"],
        alpha_force=stored["force"],
        alpha_stress=stored["stress"],
    )


def _stored_alpha(record: HessianRecord, kind: RowKind) -> float:
    """Calibration factor of a Hessian, 1 where there is none."""
    alpha = getattr(record, f"alpha_{kind}")
    return 1.0 if alpha is None else float(alpha)
