"""Scale, regularizer, weights, prior and form of the rows: what options, files and defaults say."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from prcli.data.hessian_record import ALPHAS, ROW_KINDS, HessianRecord
from prcli.errors import MismatchError, RequestError
from prcli.records import EnergyKind, InterceptKind, Reduction, RowKind
from prcli.workflows.agreement import settle
from prcli.workflows.inner_loss import common_loss, loss_choices, refuse_keys
from prcli.workflows.kind_weights import WEIGHT_NAMES, check_weight, settle_weights
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.model import kind_weight, row_form
from prcli.workflows.prior import (
    PriorChoice,
    describe_prior,
    load_prior,
    same_prior,
    settle_prior,
)
from prcli.workflows.regularizer import check_regularizer, settle_regularizer, warn_rounding
from prcli.workflows.scale import check_scale, settle_scale

logger = logging.getLogger(__name__)


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
    energy_weight, force_weight, stress_weight : float, optional
        Weight of each kind of row in the loss; by default 1 for energies, and for forces and
        stresses where the training set has any.
    reduction : {"sum", "mean"}, optional
        Whether a kind enters by the sum over its rows or by their mean; sum where nothing says
        otherwise.
    prior : "identity", path or ndarray of shape (n,) or (n, n), optional
        Of the scaled features; n is D, or D' with the intercept.
    loss : LossOptions, optional
        What is inside the rows; squared errors where nothing says otherwise.
    """

    energy: EnergyKind | None = None
    intercept: InterceptKind | None = None
    scale: str | float | None = None
    regularizer: float | str | None = None
    allow_duplicates: bool = False
    energy_weight: float | None = None
    force_weight: float | None = None
    stress_weight: float | None = None
    reduction: Reduction | None = None
    prior: PriorChoice | None = None
    loss: LossOptions | None = None

    def __post_init__(self) -> None:
        """Check the values, whatever door they came through.

        Raises
        ------
        RequestError
            If a value is out of its range.
        """
        _check_word("energy", self.energy, get_args(EnergyKind))
        _check_word("intercept", self.intercept, get_args(InterceptKind))
        _check_word("reduction", self.reduction, get_args(Reduction))
        check_scale(self.scale)
        check_regularizer(self.regularizer)
        for kind, weight in self.weights.items():
            check_weight(kind, weight)

    @property
    def weights(self) -> dict[RowKind, float | None]:
        """Weight of each kind of row; None where it was not given."""
        return {
            "energy": self.energy_weight,
            "force": self.force_weight,
            "stress": self.stress_weight,
        }

    @property
    def changes_numbers(self) -> bool:
        """Whether an option is given that a finished Hessian can follow without the data."""
        given = (self.scale, self.regularizer, self.reduction, self.prior)
        return any(each is not None for each in (*given, *self.weights.values()))


def with_options(
    record: HessianRecord,
    options: HessianOptions,
    origins: Sequence[HessianRecord] = (),
    *,
    kinds: Collection[RowKind] | None = None,
    float32: bool = False,
) -> HessianRecord:
    """Settle weights, prior, scale and regularizer: as an option says, else files, else defaults.

    Parameters
    ----------
    record : HessianRecord
        Sums of the rows.
    options : HessianOptions
        With the prior loaded.
    origins : sequence of HessianRecord
        Finished Hessians that it was made from.
    kinds : collection of {"energy", "force", "stress"}, optional
        Kinds of row that may have weight; by default those of which the record has any.
    float32 : bool
        Whether rows were rounded to float32, for a warning.

    Returns
    -------
    record : HessianRecord
        Without calibration factors if a number is not that of the files.
    """
    if kinds is None:
        kinds = [kind for kind in ROW_KINDS if record.n_rows.get(kind)]
    weights = settle_weights(options.weights, origins, kinds)
    stored = [origin.reduction for origin in origins]
    record = replace(
        record,
        energy_weight=weights["energy"],
        force_weight=weights["force"],
        stress_weight=weights["stress"],
        reduction=settle("reduction", options.reduction, stored, "sum"),
        prior=settle_prior(options.prior, origins),
    )
    for kind in kinds:
        kind_weight(record, kind)
    rule, scale = settle_scale(record, options.scale, origins)
    record = replace(record, scale_rule=rule, scale=scale)
    _warn_scaled_kernel(record, options, origins)
    record = replace(record, regularizer=settle_regularizer(record, options.regularizer, origins))
    record = _report_changes(record, options, origins)
    if float32:
        warn_rounding(record)
    return record


def check_settled(options: HessianOptions, records: Sequence[HessianRecord]) -> None:
    """Refuse, before long work, Hessians that disagree where no option settles it.

    Raises
    ------
    MismatchError
    """
    for name, given in (
        ("scale_rule", options.scale),
        ("regularizer", options.regularizer),
        ("reduction", options.reduction),
    ):
        settle(name, given, [getattr(record, name) for record in records], None)
    settle_prior(options.prior, records)
    if records:
        common_loss(records)


def _report_changes(
    record: HessianRecord, options: HessianOptions, origins: Sequence[HessianRecord]
) -> HessianRecord:
    """Say which numbers of the files an option overrides, and drop a calibration with them."""
    changed = False
    for name in ("scale", "regularizer", *WEIGHT_NAMES.values(), "reduction"):
        new = getattr(record, name)
        stored = sorted({getattr(origin, name) for origin in origins} - {new})
        if getattr(options, name) is not None and stored:
            changed = True
            _warn_overridden(name, " and ".join(map(_text, stored)), _text(new))
    others = [each.prior for each in origins if not same_prior(each.prior, record.prior)]
    if options.prior is not None and others:
        changed = True
        stored = sorted({describe_prior(other) for other in others})
        _warn_overridden("prior", " and ".join(stored), describe_prior(record.prior))
    return without_calibration(record) if changed else record


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _warn_overridden(name: str, stored: str, new: str) -> None:
    logger.warning("%s %s of the Hessian file is overridden by %s", name, stored, new)


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
    check_inside(record, options)
    refuse_keys(options.loss)
    if not options.changes_numbers:
        return record
    options = replace(options, prior=load_prior(options.prior, row_form(record)))
    return with_options(record, options, [record])


def check_inside(record: HessianRecord, options: HessianOptions) -> None:
    """Refuse options that contradict what is inside the rows of a finished Hessian.

    Raises
    ------
    MismatchError
    """
    for name, given, stored in (
        ("energy", options.energy, record.energy),
        ("intercept", options.intercept, record.intercept.kind),
        *loss_choices(record, options.loss),
    ):
        if given is not None and given != stored:
            # Whoever states part of a loss has the defaults for the rest.
            is_default = given == getattr(LossOptions, name.replace("-", "_"), None)
            raise MismatchError(
                f"--{name} contradicts the Hessian file",
                expected=f"{stored}, as the rows of the file were built",
                got=f"{given}" + ", the default beside other options of the loss" * is_default,
                remedy=f"give --{name} {stored} with them, or build the Hessian again"
                if is_default
                else "leave the option out, or build the Hessian again",
            )


def _warn_scaled_kernel(
    record: HessianRecord, options: HessianOptions, origins: Sequence[HessianRecord]
) -> None:
    """Warn where a matrix prior meets a scale that nobody has asked for."""
    prior = record.prior
    is_new = options.prior is not None or not origins
    is_chosen = options.scale is not None or record.scale_rule == "none"
    if prior is not None and prior.ndim == 2 and is_new and not is_chosen:
        logger.warning(
            "the prior is a matrix for features divided by the scale %s = %.6g; a kernel matrix "
            "needs --scale none",
            record.scale_rule,
            record.scale,
        )


def _check_word(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise RequestError(
            f"{name} is not known",
            where=f"--{name}",
            expected=" or ".join(known),
            got=repr(value),
        )
