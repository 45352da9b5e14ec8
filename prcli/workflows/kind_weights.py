"""Weights of energies, forces and stresses in the loss."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence

from prcli.data.hessian_record import ROW_KINDS, HessianRecord
from prcli.errors import RequestError
from prcli.records import RowKind
from prcli.workflows.agreement import settle

logger = logging.getLogger(__name__)

#: Names of the weights, of the fields of a record and of the options.
WEIGHT_NAMES: dict[RowKind, str] = {kind: f"{kind}_weight" for kind in ROW_KINDS}


def check_weight(kind: RowKind, weight: float | None) -> None:
    """Refuse a weight that is negative or not finite.

    Raises
    ------
    RequestError
    """
    if weight is not None and not (math.isfinite(weight) and weight >= 0.0):
        raise RequestError(
            f"weight of the {kind} rows is not valid",
            where=f"--{kind}-weight",
            expected="a finite number that is not negative",
            got=str(weight),
        )


def settle_weights(
    given: Mapping[RowKind, float | None],
    origins: Sequence[HessianRecord],
    kinds: Collection[RowKind],
) -> dict[RowKind, float]:
    """Weight of each kind: what the option says, else the files, else the default.

    Files are asked only for the kinds of which they have rows: what weighs nothing cannot
    disagree. By default energies have weight 1, forces and stresses 1 where there are any.

    Parameters
    ----------
    given : mapping of kind to float or None
        Values of the options.
    origins : sequence of HessianRecord
        Finished Hessians.
    kinds : collection of kind
        Kinds of which there are rows.

    Returns
    -------
    weights : dict of kind to float

    Raises
    ------
    MismatchError
        If files differ and no option settles it.
    RequestError
        If a kind without rows shall have weight, or no kind has any.
    """
    weights: dict[RowKind, float] = {}
    for kind, name in WEIGHT_NAMES.items():
        stored = [getattr(each, name) for each in origins if each.n_rows.get(kind)]
        default = 1.0 if kind == "energy" or kind in kinds else 0.0
        weights[kind] = float(settle(name, given[kind], stored, default))
        if given[kind] and kind not in kinds:
            raise _no_rows(kind, weights[kind])
    if kinds and not any(weights[kind] for kind in kinds):
        raise RequestError(
            "no row has any weight",
            where=", ".join(f"--{kind}-weight" for kind in kinds),
            expected="a weight above 0 for one kind of row that the training set has",
        )
    return weights


def say_defaults(
    given: Mapping[RowKind, float | None],
    origins: Sequence[HessianRecord],
    weights: Mapping[RowKind, float],
    kinds: Collection[RowKind],
) -> None:
    """Say which weights neither an option nor a file has decided, where there are gradients."""
    taken = [
        f"--{kind}-weight {weights[kind]:g}"
        for kind in kinds
        if given[kind] is None and not any(each.n_rows.get(kind) for each in origins)
    ]
    if taken and set(kinds) != {"energy"}:
        logger.info("weights by default: %s", ", ".join(taken))


def _no_rows(kind: RowKind, weight: float) -> RequestError:
    held = "features" if kind == "energy" else "gradients of the features"
    return RequestError(
        f"the training set has no {kind} rows to weigh",
        where=f"--{kind}-weight",
        expected=f"a training set with {held}, or no weight",
        got=f"{weight:g}",
        remedy="leave the option out"
        if kind == "energy"
        else f"leave the option out, or import or compute features with the {kind} gradients",
    )
