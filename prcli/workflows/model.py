"""From a Hessian record to the factors that the numerics work with."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from prcli.data.dataset import Dataset, block_text
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FormatError, MismatchError
from prcli.numerics.posterior import Posterior
from prcli.numerics.rows import column_scales
from prcli.numerics.square_root import SquareRoot, with_prior
from prcli.records import RowKind
from prcli.workflows.rows import RowForm

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Eigenvalues of a prior down to minus this share of the largest count as rounding.
_INDEFINITE_SHARE = 1e-10


def check_fits(record: HessianRecord, data: Dataset) -> None:
    """Refuse a data set whose features are not those of a Hessian.

    Raises
    ------
    MismatchError
        If widths or blocks differ.
    """
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
    """Weight of the rows of one kind, with the reduction taken into account."""
    weights = {
        "energy": record.energy_weight,
        "force": record.force_weight,
        "stress": record.stress_weight,
    }
    weight = weights[kind]
    if record.reduction == "mean" and kind != "energy" and record.n_rows.get(kind):
        weight *= record.n_rows.get("energy", 0) / record.n_rows[kind]
    return weight


def data_factor(record: HessianRecord) -> FloatArray:
    """Factor of the weighted rows of all kinds, unscaled, without prior, shape (D', D')."""
    root = SquareRoot(record.n_columns)
    for kind, factor in record.R.items():
        weight = kind_weight(record, kind)
        if weight > 0.0:
            root.merge(np.sqrt(weight) * factor)
    return root.factor


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
    free = np.zeros(record.intercept.n_columns)
    prior = record.prior
    if prior is None:
        return np.concatenate([np.ones(record.n_features), free])
    if prior.ndim == 1:
        if np.any(prior < 0.0):
            raise FormatError(
                "the prior has a negative entry",
                where=f"entry {int(np.argmin(prior))}",
                expected="a positive semidefinite prior",
                got=f"{prior.min():g}",
            )
        root = np.sqrt(prior)
        return np.concatenate([root, free]) if len(prior) == record.n_features else root
    values, vectors = eigh(prior)
    if values[0] < -_INDEFINITE_SHARE * max(values[-1], 0.0) or values[-1] <= 0.0:
        raise FormatError(
            "the prior is not positive semidefinite",
            expected=f"eigenvalues above {-_INDEFINITE_SHARE:g} of the largest",
            got=f"{values[0]:g}, the largest being {values[-1]:g}",
        )
    full = np.zeros((record.n_columns, record.n_columns))
    root = np.sqrt(np.maximum(values, 0.0))[:, np.newaxis] * vectors.T
    full[: len(prior), : len(prior)] = np.linalg.qr(root, mode="r")
    return full


def unscaled_prior_root(record: HessianRecord) -> FloatArray:
    """F for rows of unscaled features: each column times its scale."""
    unscaled: FloatArray = prior_root(record) * scales(record)
    return unscaled


def full_factor(record: HessianRecord) -> FloatArray:
    """Factor R of the Hessian for rows of unscaled features, so that 1/PR = |R⁻ᵀg|².

    Scaling rows by 1/s and multiplying columns of R by s are the same thing; this way no
    feature is ever divided.
    """
    return with_prior(data_factor(record), unscaled_prior_root(record), record.regularizer)


def posterior(record: HessianRecord) -> Posterior:
    """Begin a selection: the Hessian for rows of unscaled features."""
    return Posterior(data_factor(record), unscaled_prior_root(record), record.regularizer)


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
