"""From a Hessian record to the factors that the numerics work with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset, block_text
from prcli.data.featurizer_settings import check_same_settings
from prcli.data.hessian_record import HessianRecord
from prcli.errors import MismatchError, RankError, RequestError
from prcli.numerics.posterior import Posterior
from prcli.numerics.rigidity import squared_norms, whiten
from prcli.numerics.rows import column_scales
from prcli.numerics.square_root import SquareRoot, with_prior
from prcli.records import RowKind
from prcli.workflows.prior import describe_prior, root_of
from prcli.workflows.rows import RowForm

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


def check_fits(record: HessianRecord, data: Dataset) -> None:
    """Refuse a data set whose features are not those of a Hessian.

    Raises
    ------
    MismatchError
        If widths or blocks differ, or what computed the features, where that is known.
    """
    where = f"the Hessian and the {data.name} set {data.label}"
    check_same_settings(record.featurizer, data.featurizer, where)
    row_form(record).check_width(data)
    if data.blocks != record.blocks:
        raise MismatchError(
            f"the {data.name} set does not fit the Hessian",
            where=data.label,
            expected=block_text(record.blocks),
            got=block_text(data.blocks),
            remedy="compute both with the same descriptor or model",
        )


def row_form(record: HessianRecord) -> RowForm:
    """How features become rows of this Hessian."""
    return RowForm(record.n_features, record.energy, record.intercept)


def kind_weight(record: HessianRecord, kind: RowKind) -> float:
    """Weight of the rows of one kind, with the reduction taken into account.

    MACE and metatrain average each term of the loss over its own number of entries; relative
    to the energies, that weighs a kind by the ratio of the numbers of entries.

    Raises
    ------
    RequestError
        If a mean is asked for and there are no energies to relate it to.
    """
    weights = {
        "energy": record.energy_weight,
        "force": record.force_weight,
        "stress": record.stress_weight,
    }
    weight, n_rows = weights[kind], record.n_rows.get(kind, 0)
    if record.reduction == "sum" or kind == "energy" or weight == 0.0 or n_rows == 0:
        return weight
    n_energies = record.n_rows.get("energy", 0)
    if n_energies == 0:
        raise RequestError(
            "the reduction mean relates weights to the number of energies, and there are none",
            where=f"--reduction mean, {kind} rows",
            expected="energy rows in the Hessian",
            remedy=f"use --reduction sum, with the number of rows in --{kind}-weight",
        )
    # Of a stress with nine components, six rows stand for nine entries.
    n_entries = n_rows * record.loss.stress_components / 6 if kind == "stress" else n_rows
    return weight * n_energies / n_entries


def data_factor(record: HessianRecord) -> FloatArray:
    """Factor of the weighted rows of all kinds, unscaled, without prior, shape (D', D')."""
    root: SquareRoot | None = None
    for kind, factor in record.R.items():
        weight = kind_weight(record, kind)
        if weight > 0.0 and root is None:
            # To add to nothing would cost as much as a factorization.
            root = SquareRoot.from_factor(np.sqrt(weight) * factor)
        elif weight > 0.0 and root is not None:
            root.merge(np.sqrt(weight) * factor)
    return (root or SquareRoot(record.n_columns)).factor


def scales(record: HessianRecord) -> FloatArray:
    """Divisors of the columns, shape (D',)."""
    return column_scales(record.n_features, record.intercept, record.scale)


def scaled_data_factor(record: HessianRecord) -> FloatArray:
    """Factor of the weighted rows with scaled features: what the regularizer refers to."""
    return data_factor(record) / scales(record)


def prior_root(record: HessianRecord) -> FloatArray:
    """F with FᵀF = P for scaled features: the diagonal (D',), or upper-triangular (D', D').

    Raises
    ------
    FormatError
        If a prior is not positive semidefinite.
    """
    n_free = record.n_columns - record.n_features
    if record.prior is None:
        return np.concatenate([np.ones(record.n_features), np.zeros(n_free)])
    root = root_of(record.prior)
    n_free = record.n_columns - len(root)
    return np.pad(root, (0, n_free)) if n_free else root


def unscaled_prior_root(record: HessianRecord) -> FloatArray:
    """F for rows of unscaled features: each column times its scale."""
    unscaled: FloatArray = prior_root(record) * scales(record)
    return unscaled


def full_factor(record: HessianRecord) -> FloatArray:
    """Factor R of the Hessian for rows of unscaled features, so that 1/PR = |R⁻ᵀg|².

    Scaling rows by 1/s and multiplying columns of R by s are the same thing; this way no
    feature is ever divided.

    Raises
    ------
    RankError
        If the Hessian is singular.
    """
    with _naming_the_prior(record):
        return with_prior(data_factor(record), unscaled_prior_root(record), record.regularizer)


def effective_parameters(record: HessianRecord, factor: FloatArray | None = None) -> float:
    """Effective number of parameters, D' − ς² tr(H⁻¹P): how many the data determine.

    It is the sum of the leverages |R⁻ᵀ g|² over the rows of the data factor, which loses no
    digits where few parameters are determined. `factor` is R, as `full_factor` gives it, where
    it is at hand.
    """
    factor = full_factor(record) if factor is None else factor
    return float(squared_norms(whiten(data_factor(record), factor)).sum())


def posterior(record: HessianRecord) -> Posterior:
    """Begin a selection: the Hessian for rows of unscaled features."""
    return Posterior(data_factor(record), unscaled_prior_root(record), record.regularizer)


@contextmanager
def _naming_the_prior(record: HessianRecord) -> Iterator[None]:
    """Where a prior leaves directions free, say so: a larger regularizer is no remedy then."""
    try:
        yield
    except RankError as error:
        if record.prior is None:
            raise
        raise RankError(
            error.what,
            where=f"{error.where}, with a prior {describe_prior(record.prior)}",
            expected=error.expected,
            got=error.got,
            remedy="leave out features, or basis points of a kernel, that depend linearly on "
            "others; where the prior is zero, only training rows or another --prior help",
        ) from error


def say_training_set(record: HessianRecord) -> None:
    """Say what a Hessian was summed from, and with which numbers it is used."""
    logger.info(
        "training set: %d structures, %d features; %s rows, scale %s = %.6g, regularizer %.6g",
        record.n_structures,
        record.n_features,
        record.energy,
        record.scale_rule,
        record.scale,
        record.regularizer,
    )


def warn_about_zero(record: HessianRecord, per: str = "structure") -> None:
    """Warn of rigidities of energies where forces alone, which do not fix their zero, count."""
    if per in ("force", "stress"):
        return
    if record.energy_weight > 0.0 and "energy" in record.R and record.R["energy"].any():
        return
    logger.warning(
        "no energy has weight in this Hessian, and forces and stresses do not fix the zero of "
        "energies: rigidities of structures and atoms may show little else; give energies some "
        "weight (--energy-weight)"
    )


def warn_about_training(record: HessianRecord, data: Dataset) -> None:
    """Say how many structures of a set are training structures: they are taken as they stand."""
    overlap = int(np.count_nonzero(np.isin(data.digests, record.digests)))
    if overlap:
        logger.warning(
            "%d of %d structures of the %s set are in the training set; they are scored as they "
            "stand",
            overlap,
            data.n_structures,
            data.name,
        )


def warn_about_descriptors(data: Dataset) -> None:
    """Say that descriptors of a network are not what its last layer sees."""
    if "descriptor" in data.feature_kinds:
        logger.warning(
            "the %s set holds descriptors of a network and not its last-layer features: with "
            "them the Hessian is that of a linear model on the descriptors, not of the network",
            data.name,
        )
