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

_EDGE_REMEDIES = {
    "low": "the residuals ask for less regularization than that; --regularizer-min widens it",
    "high": "the residuals hardly follow the rigidities; --regularizer-max widens it",
}


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
            _EDGE_REMEDIES[scan.edge],
        )
    return scan


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
