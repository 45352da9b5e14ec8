"""Rows of a validation set by their lengths and variances, and which are too small to count."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.numerics.rigidity import prior_shares, squared_norms, whiten
from prcli.records import Progress, RowKind
from prcli.workflows.model import full_factor, unscaled_prior_root
from prcli.workflows.validation_rows import ValidationRows

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Relative length below which a row is zero but for rounding, by the type of the features.
#: Symmetry makes rows of forces zero as differences of numbers that are not.
_ROUNDING = {"float64": 1e-12, "float32": 1e-6}


@dataclass(frozen=True, eq=False)
class MeasuredRows:
    """Numbers of the rows of one kind that take part.

    Attributes
    ----------
    squares : ndarray of shape (n,)
        |g|² of rows of unscaled features.
    variances : ndarray of shape (n,)
        1/PR.
    shares : ndarray of shape (n,)
        Shares of them that the regularizer accounts for.
    """

    squares: FloatArray
    variances: FloatArray
    shares: FloatArray

    def of(self, chosen: NDArray[np.bool_]) -> MeasuredRows:
        """Only some of the rows."""
        return MeasuredRows(self.squares[chosen], self.variances[chosen], self.shares[chosen])


def measure_rows(
    record: HessianRecord, rows: ValidationRows, progress: Progress
) -> dict[RowKind, MeasuredRows]:
    """Measure all rows that take part, by a fresh factorization, reading the set once."""
    factor, root = full_factor(record), unscaled_prior_root(record)

    def measure(block: FloatArray) -> FloatArray:
        squares = squared_norms(block)
        whitened = whiten(block, factor, overwrite=True)
        shares = prior_shares(whitened, factor, root, record.regularizer)
        return np.column_stack([squares, squared_norms(whitened), shares])

    found = rows.measure(measure, 3, progress)
    return {kind: MeasuredRows(*values.T.copy()) for kind, values in found.items()}


def leave_out_small(
    rows: ValidationRows,
    measured: Mapping[RowKind, MeasuredRows],
    data: Dataset,
    smallest: float | None,
) -> dict[RowKind, MeasuredRows]:
    """Leave out rows whose σ is zero whatever α is, or would be but for rounding.

    Parameters
    ----------
    rows : ValidationRows
        They take part no longer.
    measured : mapping of kind to MeasuredRows
    data : Dataset
        Whose features they are.
    smallest : float, optional
        Length relative to the root mean square of the kind; by default that of rounding.

    Returns
    -------
    measured : dict of kind to MeasuredRows
        Those that are left.
    """
    limit = smallest
    if limit is None:
        limit = max(_ROUNDING.get(name, 0.0) for name in data.dtypes)
    kept: dict[RowKind, MeasuredRows] = {}
    for kind, each in measured.items():
        typical = each.squares.mean() if each.squares.size else 0.0
        small = (each.variances == 0.0) | (each.squares < limit**2 * typical)
        kept[kind] = each.of(~small)
        if small.any():
            rows.kinds[kind] = rows.kinds[kind].without(small)
            logger.warning(
                "%d of %d %s rows are zero %s, and are left out",
                np.count_nonzero(small),
                len(small),
                kind,
                "up to rounding" if smallest is None else f"or below {smallest:g} of the others",
            )
    return kept
