"""The number added to the diagonal of the Hessian of the scaled features."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np

from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.numerics.regularizer import auto_regularizer
from prcli.workflows.agreement import settle
from prcli.workflows.model import prior_root, scaled_data_factor

logger = logging.getLogger(__name__)

DEFAULT_REGULARIZER = 1e-5

#: Relative spacing of float32 numbers: rows rounded to it blur smaller singular values.
_FLOAT32_ROUNDING = 6e-8


def check_regularizer(regularizer: float | str | None) -> None:
    """Refuse what is neither a number that is not negative nor "auto".

    Raises
    ------
    RequestError
    """
    if regularizer is None or regularizer == "auto":
        return
    if isinstance(regularizer, str) or not (math.isfinite(regularizer) and regularizer >= 0.0):
        raise RequestError(
            "regularizer is not valid",
            where="--regularizer",
            expected="auto, or a number that is not negative",
            got=str(regularizer),
        )


def settle_regularizer(
    record: HessianRecord, given: float | str | None, origins: Sequence[HessianRecord]
) -> float:
    """Take what the option says, else what all files say, else the default.

    Parameters
    ----------
    record : HessianRecord
        With weights, scale and prior settled, for "auto".
    given : float or "auto", optional
    origins : sequence of HessianRecord
        Finished Hessians that it was made from.

    Returns
    -------
    regularizer : float

    Raises
    ------
    MismatchError
        If files differ and no option settles it.
    RankError
        If no regularizer helps.
    """
    stored = [origin.regularizer for origin in origins]
    regularizer = settle("regularizer", given, stored, DEFAULT_REGULARIZER)
    if regularizer == "auto":
        regularizer = auto_regularizer(scaled_data_factor(record), prior_root(record))
        logger.info(
            "regularizer auto: %.6g (a numerical choice; calibration on a validation set is "
            "better)",
            regularizer,
        )
    return float(regularizer)


def warn_rounding(record: HessianRecord) -> None:
    """Warn where rounding of float32 features shows in rigidities."""
    factor = scaled_data_factor(record)
    largest = float(np.linalg.norm(factor, 2)) if factor.size else 0.0
    floor = (_FLOAT32_ROUNDING * largest) ** 2
    if record.regularizer < floor:
        logger.warning(
            "regularizer %.3g is below %.3g, where the rounding of float32 features shows in "
            "the rigidities; use float64 features or a larger regularizer",
            record.regularizer,
            floor,
        )
