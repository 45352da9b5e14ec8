"""The one factor that all features are divided by: its rule and its value."""

from __future__ import annotations

import math
from collections.abc import Sequence

from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError, RequestError
from prcli.workflows.agreement import settle


def check_scale(scale: str | float | None) -> None:
    """Refuse a scale that is neither a known rule nor a positive number.

    Raises
    ------
    RequestError
    """
    if scale is None or scale in ("atom-rms", "structure-rms", "none"):
        return
    if isinstance(scale, str) or not (math.isfinite(scale) and scale > 0.0):
        raise RequestError(
            "scale is not valid",
            where="--scale",
            expected="atom-rms, structure-rms, none, or a positive number",
            got=str(scale),
        )


def settle_scale(
    record: HessianRecord, given: str | float | None, origins: Sequence[HessianRecord]
) -> tuple[str, float]:
    """Rule and value of the scale: what the option says, else the files, else the default.

    Parameters
    ----------
    record : HessianRecord
        Sums of the rows.
    given : str or float, optional
    origins : sequence of HessianRecord
        Finished Hessians that it was made from.

    Returns
    -------
    rule : str
    scale : float

    Raises
    ------
    MismatchError
        If files differ and no option settles it.
    FeatureError
        If the rule needs features of atoms that are not there, or all features are zero.
    """
    default = "atom-rms" if record.n_atoms else "structure-rms"
    rule = settle("scale_rule", given, [origin.scale_rule for origin in origins], default)
    if rule == "value":
        rule = settle("scale", None, [origin.scale for origin in origins], None)
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
