"""What residuals look like that uncertainties cannot follow, and what to do about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from prcli.data.dataset import Dataset
from prcli.numerics.calibration import Criterion
from prcli.records import RowKind
from prcli.workflows.measured_rows import MeasuredRows
from prcli.workflows.validation_residuals import PLURALS
from prcli.workflows.validation_rows import KindOfRow, ValidationRows

logger = logging.getLogger(__name__)

#: Fewer rows than these deserve a warning.
FEW_ROWS = 30

#: Share of the rows that makes half of α² only if something is wrong: of Gaussians it is an eighth.
_DECIDING = 0.01

#: Rows from which on a mean error is told from chance, and how many times the spread it then is.
_ENOUGH, _MOSTLY_MEAN = 10, 2.0


def warn_of_residuals(
    rows: ValidationRows,
    measured: Mapping[RowKind, MeasuredRows],
    data: Dataset,
    criterion: Criterion,
) -> None:
    """Warn of errors that are all alike, and of a few that decide a calibration factor.

    Parameters
    ----------
    rows : ValidationRows
    measured : mapping of kind to MeasuredRows
        With the regularizer that was chosen.
    data : Dataset
    criterion : {"nll", "ssl", "crps"}
        That was minimized; only the likelihood is at the mercy of a few rows.
    """
    for kind, each in rows.kinds.items():
        if kind == "energy":
            _warn_of_offset(each)
        if criterion == "nll":
            _warn_of_few(kind, each, measured[kind], data)


def _warn_of_offset(rows: KindOfRow) -> None:
    mean, spread = float(rows.residuals.mean()), float(rows.residuals.std())
    if rows.n_rows < _ENOUGH or abs(mean) <= _MOSTLY_MEAN * spread:
        return
    logger.warning(
        "errors of energies are all alike, %.3g with a spread of %.3g: total energies are "
        "expected, and the same zero of energy in references and predictions",
        mean,
        spread,
    )


def _warn_of_few(kind: RowKind, rows: KindOfRow, measured: MeasuredRows, data: Dataset) -> None:
    """Say where a few rows make half of α², as such of reference noise and hardly any σ do."""
    parts = rows.residuals**2 / measured.variances
    order = np.argsort(-parts, kind="stable")
    n_deciding = 1 + int(np.searchsorted(np.cumsum(parts[order]), 0.5 * parts.sum()))
    if rows.n_rows < FEW_ROWS or n_deciding > _DECIDING * rows.n_rows:
        return
    structure = int(rows.all_structures[rows.takes_part][order[0]])
    part, position = data.locate(structure)
    remedy = "--criterion crps hardly minds a few rows"
    if kind != "energy":
        remedy += ", --smallest-row 1e-3 leaves out those that symmetry holds near zero"
    logger.warning(
        "alpha_%s depends on %d of %d %s, above all on one of %s, structure %d: their errors are "
        "far above sigma (%s)",
        kind,
        n_deciding,
        rows.n_rows,
        PLURALS[kind],
        part.table.label,
        position,
        remedy,
    )
