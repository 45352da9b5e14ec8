"""The regularizer that a validation set speaks for."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.numerics.regularizer_scan import RegularizerScan, regularizer_grid, scan_regularizer
from prcli.numerics.spectrum import decompose, usual_range
from prcli.records import Progress
from prcli.workflows.calibrate_options import CalibrateOptions
from prcli.workflows.model import (
    data_factor,
    prior_root,
    scaled_data_factor,
    unscaled_prior_root,
)
from prcli.workflows.validation_residuals import PLURALS
from prcli.workflows.validation_rows import ValidationRows

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Costs that differ by less are as good as the same, with any number of rows that people have.
_FLAT = 1e-3


def choose_regularizer(
    record: HessianRecord, rows: ValidationRows, options: CalibrateOptions, progress: Progress
) -> RegularizerScan:
    """Find the regularizer with which uncertainties fit residuals best, and say what was found.

    Parameters
    ----------
    record : HessianRecord
    rows : ValidationRows
    options : CalibrateOptions
    progress : callable

    Returns
    -------
    scan : RegularizerScan

    Raises
    ------
    RequestError
        If the range is empty, or the criterion cannot be evaluated.
    """
    low, high = _range(record, options)
    spectrum = decompose(data_factor(record), unscaled_prior_root(record), math.sqrt(low * high))
    kinds = list(rows.kinds)

    def variances(regularizers: FloatArray) -> Sequence[FloatArray]:
        found = rows.measure(
            lambda block: spectrum.inverse_rigidities(block, regularizers, overwrite=True),
            len(regularizers),
            progress,
        )
        return [found[kind] for kind in kinds]

    residuals = [rows.kinds[kind].residuals for kind in kinds]
    grid = regularizer_grid(low, high)
    scan = scan_regularizer(residuals, variances, grid, options.criterion, joint=options.joint)
    if not np.isfinite(scan.best_cost):
        raise RequestError(
            f"the criterion {options.criterion} cannot be evaluated with these residuals",
            expected="residuals that are not zero in whole bins of rows",
            remedy="use --criterion nll",
        )
    logger.info(
        "regularizer %.6g (was %.6g): lowest %s of %s%s, %d regularizers scanned from %.3g to %.3g",
        scan.best,
        record.regularizer,
        options.criterion,
        " and ".join(PLURALS[kind] for kind in kinds),
        ", which count alike" if len(kinds) > 1 else "",
        len(grid),
        low,
        high,
    )
    if scan.edge is not None:
        logger.warning(
            "the best regularizer, %.3g, is the %s end of the range that was scanned; %s",
            scan.best,
            {"low": "lower", "high": "upper"}[scan.edge],
            _about_edge(scan, options),
        )
    return scan


def _about_edge(scan: RegularizerScan, options: CalibrateOptions) -> str:
    """Say what it means that the best regularizer is at an end of the range, and what helps."""
    inwards = slice(None) if scan.edge == "low" else slice(None, None, -1)
    costs, regularizers = scan.costs[inwards], scan.regularizers[inwards]
    alike = costs <= costs[0] + _FLAT
    n_alike = len(costs) if alike.all() else int(np.argmin(alike))
    words = []
    if n_alike > 1:
        direction = "up" if scan.edge == "low" else "down"
        words.append(f"all {direction} to {regularizers[n_alike - 1]:.3g} fit as well")
    elif scan.edge == "low":
        words.append("the residuals ask for less regularization than that")
    else:
        words.append("the residuals hardly follow the rigidities")
    given = options.regularizer_min if scan.edge == "low" else options.regularizer_max
    if given is not None:
        words.append(f"--regularizer-{'min' if scan.edge == 'low' else 'max'} widens it")
    elif scan.edge == "low":
        words.append("float64 resolves no smaller ones")
    return "; ".join(words)


def _range(record: HessianRecord, options: CalibrateOptions) -> tuple[float, float]:
    """Range of the scan: what options say, else all that float64 resolves."""
    low, high = options.regularizer_min, options.regularizer_max
    if low is None or high is None:
        usual = usual_range(scaled_data_factor(record), prior_root(record))
        low = usual[0] if low is None else low
        high = usual[1] if high is None else high
    if not low < high:
        raise RequestError(
            "the range of the regularizer is empty",
            where="--regularizer-min and --regularizer-max",
            expected="the first below the second",
            got=f"{low:g} and {high:g}",
        )
    return low, high
