"""Scale, regularizer and form of the rows: what options, files and defaults say."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from prcli.data.hessian_record import ALPHAS, HessianRecord
from prcli.errors import FeatureError, MismatchError, RequestError
from prcli.numerics.regularizer import auto_regularizer
from prcli.records import EnergyKind, InterceptKind
from prcli.workflows.model import prior_root, scaled_data_factor

logger = logging.getLogger(__name__)

DEFAULT_REGULARIZER = 1e-5

#: Relative spacing of float32 numbers: rows rounded to it blur smaller singular values.
_FLOAT32_ROUNDING = 6e-8


@dataclass(frozen=True)
class HessianOptions:
    """Choices that a user may leave to the files at hand; None means "as they say".

    Attributes
    ----------
    energy : {"per-atom", "total"}, optional
        Rows of energies; per-atom where nothing says otherwise.
    intercept : {"none", "atom", "species"}, optional
        Constant columns; none where nothing says otherwise.
    scale : str or float, optional
        "atom-rms", "structure-rms", "none" or a positive number. By default atom-rms where
        the training set has features of atoms, else structure-rms.
    regularizer : float or "auto", optional
        ς², the number added to the diagonal of the Hessian of the scaled features.
    allow_duplicates : bool
        Accept that a structure is counted twice.
    """

    energy: EnergyKind | None = None
    intercept: InterceptKind | None = None
    scale: str | float | None = None
    regularizer: float | str | None = None
    allow_duplicates: bool = False

    def __post_init__(self) -> None:
        """Check the values, whatever door they came through.

        Raises
        ------
        RequestError
            If a value is out of its range.
        """
        _check_word("energy", self.energy, get_args(EnergyKind))
        _check_word("intercept", self.intercept, get_args(InterceptKind))
        _check_scale(self.scale)
        _check_regularizer(self.regularizer)


def with_options(
    record: HessianRecord,
    options: HessianOptions,
    origins: Sequence[HessianRecord] = (),
    *,
    float32: bool = False,
) -> HessianRecord:
    """Settle scale and regularizer: what an option says, else the files, else the default.

    Parameters
    ----------
    record : HessianRecord
        Sums of the rows.
    options : HessianOptions
    origins : sequence of HessianRecord
        Finished Hessians that it was made from.
    float32 : bool
        Whether rows were rounded to float32, for a warning.

    Returns
    -------
    record : HessianRecord
        Without calibration factors if scale or regularizer are not those of the files.
    """
    rule, scale = _settle_scale(record, options.scale, origins)
    record = replace(record, scale_rule=rule, scale=scale)
    regularizer = _settle("regularizer", options.regularizer, origins, DEFAULT_REGULARIZER)
    if regularizer == "auto":
        regularizer = auto_regularizer(scaled_data_factor(record), prior_root(record))
        logger.info(
            "regularizer auto: %.6g (a numerical choice; calibration on a validation set is "
            "better)",
            regularizer,
        )
    record = replace(record, regularizer=float(regularizer))
    record = _report_changes(record, options, origins)
    if float32:
        _warn_rounding(record)
    return record


def _report_changes(
    record: HessianRecord, options: HessianOptions, origins: Sequence[HessianRecord]
) -> HessianRecord:
    """Say which numbers of the files an option overrides, and drop a calibration with them."""
    changed = False
    for name, given in (("scale", options.scale), ("regularizer", options.regularizer)):
        new = getattr(record, name)
        stored = sorted({getattr(origin, name) for origin in origins} - {new})
        if given is not None and stored:
            changed = True
            logger.warning(
                "%s %s of the Hessian file is overridden by %.6g",
                name,
                " and ".join(f"{value:.6g}" for value in stored),
                new,
            )
    return without_calibration(record) if changed else record


def without_calibration(record: HessianRecord) -> HessianRecord:
    """Drop calibration factors, and say so where there are any."""
    if all(getattr(record, name) is None for name in ALPHAS):
        return record
    logger.warning("the calibration no longer holds and is dropped")
    return replace(record, alpha_energy=None, alpha_force=None, alpha_stress=None)


def override(record: HessianRecord, options: HessianOptions) -> HessianRecord:
    """Apply options to a finished Hessian, saying what changes.

    Raises
    ------
    MismatchError
        If an option contradicts what is inside the rows.
    """
    for name, given, stored in (
        ("energy", options.energy, record.energy),
        ("intercept", options.intercept, record.intercept.kind),
    ):
        if given is not None and given != stored:
            raise MismatchError(
                f"--{name} contradicts the Hessian file",
                expected=f"{stored}, as the rows of the file were built",
                got=str(given),
                remedy="leave the option out, or build the Hessian again",
            )
    if options.scale is None and options.regularizer is None:
        return record
    return with_options(record, options, [record])


def _settle(name: str, given: Any, origins: Sequence[HessianRecord], default: Any) -> Any:
    """Take what the option says, else what all files say, else the default."""
    if given is not None:
        return given
    values = {getattr(record, name) for record in origins}
    if len(values) > 1:
        raise MismatchError(
            f"Hessian files differ in {name}",
            got=" and ".join(f"{value!r}" for value in sorted(values, key=str)),
            remedy=f"say which with --{name.replace('_rule', '')}",
        )
    return values.pop() if values else default


def _settle_scale(
    record: HessianRecord, given: str | float | None, origins: Sequence[HessianRecord]
) -> tuple[str, float]:
    """Rule and value of the scale of the features."""
    default = "atom-rms" if record.n_atoms else "structure-rms"
    rule = _settle("scale_rule", given, origins, default)
    if rule == "value":
        rule = _settle("scale", None, origins, None)
    if not isinstance(rule, str):
        return "value", float(rule)
    if rule == "none":
        return rule, 1.0
    return rule, _rms_scale(record, rule)


def _rms_scale(record: HessianRecord, rule: str) -> float:
    if rule == "atom-rms" and not record.n_atoms:
        raise FeatureError(
            "the scale atom-rms needs features of atoms, which part of the training set lacks",
            remedy="use --scale structure-rms, or import features with --convention per-atom",
        )
    total, count = (
        (record.sum_sq_atoms, record.n_atoms)
        if rule == "atom-rms"
        else (record.sum_sq_structures, record.n_structures)
    )
    scale = math.sqrt(total / count)
    if scale == 0.0:
        raise FeatureError("all training features are zero", expected="features that vary")
    return scale


def _warn_rounding(record: HessianRecord) -> None:
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


def _check_scale(scale: str | float | None) -> None:
    if scale is None or scale in ("atom-rms", "structure-rms", "none"):
        return
    if isinstance(scale, str) or not (math.isfinite(scale) and scale > 0.0):
        raise RequestError(
            "scale is not valid",
            where="--scale",
            expected="atom-rms, structure-rms, none, or a positive number",
            got=str(scale),
        )


def _check_regularizer(regularizer: float | str | None) -> None:
    if regularizer is None or regularizer == "auto":
        return
    if isinstance(regularizer, str) or not (math.isfinite(regularizer) and regularizer >= 0.0):
        raise RequestError(
            "regularizer is not valid",
            where="--regularizer",
            expected="auto, or a number that is not negative",
            got=str(regularizer),
        )


def _check_word(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise RequestError(
            f"{name} is not known",
            where=f"--{name}",
            expected=" or ".join(known),
            got=repr(value),
        )
