"""What a regularizer does: condition number, effective parameters, and how stable a ranking is."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svdvals

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.numerics.condition import Condition, condition_of
from prcli.numerics.rigidity import prior_shares, squared_norms, whiten
from prcli.numerics.spectrum import Spectrum, decompose, usual_range
from prcli.numerics.stability import spearman, top_overlap
from prcli.records import Progress, no_progress
from prcli.report.regularizer_plot import Panel, regularizer_figure, singular_value_figure
from prcli.workflows.health import MOSTLY, say_condition, say_held
from prcli.workflows.model import (
    check_fits,
    data_factor,
    full_factor,
    prior_root,
    row_form,
    scaled_data_factor,
    scales,
    unscaled_prior_root,
)
from prcli.workflows.plots import Drawing
from prcli.workflows.rows import EnergyRows

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Least rigid targets whose stability is reported, unless said otherwise.
DEFAULT_TOP = 10

#: The figures, without ending.
PLOTS = ("regularizer", "singular_values")


@dataclass(frozen=True, eq=False)
class Ranking:
    """How far the ranking of targets by rigidity stays that of the regularizer in use.

    Attributes
    ----------
    n_targets : int
        Of finite rigidity.
    n_top : int
        Least rigid targets that are compared.
    spearman : ndarray of shape (G,)
        Rank correlation.
    overlap : ndarray of shape (G,)
        Fraction of the `n_top` least rigid ones that still are.
    held : ndarray of shape (G,)
        Fraction of the targets that the regularizer holds more than the training rows do.
    n_held : int
        Such targets with the regularizer in use.
    """

    n_targets: int
    n_top: int
    spearman: FloatArray
    overlap: FloatArray
    held: FloatArray
    n_held: int


@dataclass(frozen=True, eq=False)
class RegularizerReport:
    """What the regularizer does, over decades of it.

    Attributes
    ----------
    in_use : float
        ς² of the Hessian.
    singular_values : ndarray of shape (D',)
        Of the scaled training rows, descending.
    rank : int
        Of them in float64.
    regularizers : ndarray of shape (G,)
        Powers of ten, and the one in use, ascending.
    condition : Condition
        Condition number of the factor R with the regularizer in use.
    condition_numbers : ndarray of shape (G,)
        Of the factor R; that of the Hessian is its square.
    effective_parameters : ndarray of shape (G,)
        How many of D' parameters the data determine.
    ranking : Ranking, optional
        Of targets.
    """

    in_use: float
    singular_values: FloatArray
    rank: int
    regularizers: FloatArray
    condition: Condition
    condition_numbers: FloatArray
    effective_parameters: FloatArray
    ranking: Ranking | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the table."""
        names = ("regularizer", "in_use", "condition_number", "effective_parameters")
        of_targets = () if self.ranking is None else ("spearman", "top_overlap", "held_targets")
        return (*names, *of_targets)

    def table(self) -> dict[str, NDArray[np.generic]]:
        """Give the table: an array for each column."""
        table: dict[str, NDArray[np.generic]] = {
            "regularizer": self.regularizers,
            "in_use": self.regularizers == self.in_use,
            "condition_number": self.condition_numbers,
            "effective_parameters": self.effective_parameters,
        }
        if self.ranking is not None:
            table |= {
                "spearman": self.ranking.spearman,
                "top_overlap": self.ranking.overlap,
                "held_targets": self.ranking.held,
            }
        return table

    def figures(self) -> dict[str, Drawing]:
        """Name the figures, each to be drawn when asked for."""
        panels = [
            Panel("condition number of R", {"R": self.condition_numbers}, logarithmic=True),
            Panel("effective parameters", {"all": self.effective_parameters}),
        ]
        if self.ranking is not None:
            curves = {
                "rank correlation": self.ranking.spearman,
                f"overlap of the {self.ranking.n_top} least rigid": self.ranking.overlap,
            }
            panels.append(Panel("ranking as with ς² in use", curves))
            panels.append(Panel("targets held by ς²", {"share": self.ranking.held}))
        return {
            "regularizer": lambda: regularizer_figure(
                self.regularizers, panels, self.in_use, "in use"
            ),
            "singular_values": lambda: singular_value_figure(
                self.singular_values, self.rank, self.in_use
            ),
        }


def regularizer_report(
    record: HessianRecord,
    target: Dataset | None = None,
    n_top: int = DEFAULT_TOP,
    progress: Progress = no_progress,
) -> RegularizerReport:
    """Find out what the regularizer decides, from one decomposition of the Hessian.

    Parameters
    ----------
    record : HessianRecord
    target : Dataset, optional
        Structures whose ranking is compared with that of the regularizer in use.
    n_top : int
        Least rigid targets to compare.
    progress : callable

    Returns
    -------
    report : RegularizerReport

    Raises
    ------
    RankError
        If the Hessian is singular.
    """
    check_report(record, target, n_top)
    scaled, root = scaled_data_factor(record), prior_root(record)
    regularizers = _decades(*usual_range(scaled, root), record.regularizer)
    middle = math.sqrt(regularizers[0] * regularizers[-1])
    spectrum = decompose(data_factor(record), unscaled_prior_root(record), middle)
    singular = svdvals(scaled)
    tolerance = len(singular) * np.finfo(np.float64).eps * singular[0]
    report = RegularizerReport(
        record.regularizer,
        singular,
        int(np.count_nonzero(singular > tolerance)),
        regularizers,
        condition_of(full_factor(record) / scales(record)),
        _condition_numbers(spectrum, record, regularizers),
        spectrum.effective_parameters(regularizers),
        None if target is None else _rank(record, spectrum, target, regularizers, n_top, progress),
    )
    _say(report)
    return report


def check_report(record: HessianRecord | None, target: Dataset | None, n_top: int) -> None:
    """Refuse, before long work, what cannot be reported.

    Raises
    ------
    PrcliError
        If the targets do not fit the Hessian, or `n_top` is not positive.
    """
    if n_top < 1:
        raise RequestError("--top must be at least 1", got=str(n_top))
    if record is not None and target is not None:
        check_fits(record, target)


def _decades(low: float, high: float, in_use: float) -> FloatArray:
    """Powers of ten from `low` to `high`, and what is in use if it can be drawn among them."""
    exponents = np.arange(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    powers = np.power(10.0, exponents, dtype=np.float64)
    if not in_use > 0.0:
        return powers
    # A power of ten that differs by rounding only is the one in use.
    others = powers[np.abs(powers / in_use - 1.0) > 1e-9]
    return np.sort(np.append(others, in_use))


def _condition_numbers(
    spectrum: Spectrum, record: HessianRecord, regularizers: FloatArray
) -> FloatArray:
    """Two-norm condition numbers of R for scaled features, shape (G,)."""
    rotated = spectrum.rotation.T @ (spectrum.factor / scales(record))
    numbers: FloatArray = np.empty(len(regularizers))
    for k, regularizer in enumerate(regularizers):
        lengths = np.sqrt(spectrum.data + regularizer * spectrum.prior)
        singular = svdvals(lengths[:, np.newaxis] * rotated)
        numbers[k] = singular[0] / singular[-1] if singular[-1] > 0.0 else np.inf
    return numbers


def _rank(
    record: HessianRecord,
    spectrum: Spectrum,
    target: Dataset,
    regularizers: FloatArray,
    n_top: int,
    progress: Progress,
) -> Ranking:
    """Compare the rankings of targets, reading them once."""
    factor = full_factor(record)
    root = unscaled_prior_root(record)
    n_targets = target.n_structures
    inverse = np.empty((n_targets, len(regularizers)))
    held = np.zeros(len(regularizers), dtype=np.int64)
    in_use, n_held = np.empty(n_targets), 0
    for start, rows in EnergyRows(target, row_form(record)).blocks():
        here = slice(start, start + len(rows))
        whitened = whiten(rows, factor)
        in_use[here] = squared_norms(whitened)
        shares = prior_shares(whitened, factor, root, record.regularizer)
        n_held += int(np.count_nonzero(shares > MOSTLY))
        inverse[here], shares = spectrum.inverse_and_shares(rows, regularizers, overwrite=True)
        held += np.count_nonzero(shares > MOSTLY, axis=0)
        progress("score", start + len(rows), n_targets)
    finite = in_use > 0.0
    # The least rigid come first.
    in_use, inverse = -in_use[finite], -inverse[finite]
    columns = [inverse[:, k] for k in range(len(regularizers))]
    n_finite = max(1, len(in_use))
    return Ranking(
        len(in_use),
        min(n_top, len(in_use)),
        np.array([spearman(in_use, each) for each in columns]),
        np.array([top_overlap(in_use, each, n_top) for each in columns]),
        held / n_finite,
        n_held,
    )


def _say(report: RegularizerReport) -> None:
    """Put what is no column of the table into words."""
    singular = report.singular_values
    logger.info(
        "training rows: rank %d of %d, singular values of the scaled features from %.4g to %.4g",
        report.rank,
        len(singular),
        singular[0],
        singular[-1],
    )
    say_condition(report.condition)
    if report.ranking is not None:
        say_held(report.ranking.n_held, report.ranking.n_targets, "targets")
        logger.info(
            "rankings of %d targets are compared with that of regularizer %.6g; top_overlap is "
            "that of the %d least rigid, held_targets the share that the regularizer holds",
            report.ranking.n_targets,
            report.in_use,
            report.ranking.n_top,
        )
