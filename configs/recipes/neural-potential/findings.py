"""What came out, as records and as tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from network import FloatArray
from scipy.stats import spearmanr

from prcli import Comparison


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of energies per atom of the test set and their estimates, eV/atom."""

    residual: FloatArray
    sigma: FloatArray
    alpha: float
    regularizer: float


@dataclass(frozen=True, eq=False)
class Local:
    """Of all atoms of the test set: LPR, variance over the committee, error; eV²."""

    lpr: FloatArray
    variance: FloatArray
    squared_error: FloatArray


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that is tabulated and drawn."""

    epochs: Comparison
    sizes: Comparison
    errors: Errors
    local: Local


def in_bins(by: FloatArray, values: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Average both over groups of about `size` rows that are alike in `by`."""
    order = np.argsort(by, kind="stable")
    groups = np.array_split(order, max(1, len(order) // size))
    pairs = [(by[group].mean(), values[group].mean()) for group in groups]
    x, y = np.array(pairs).T
    return x, y


def differences_over_median(comparison: Comparison) -> FloatArray:
    """Give the differences with LPRs divided by their median, not by the LPR of a single atom."""
    dynamics = comparison.dynamics
    scaled = [each / np.median(each) for each in dynamics.rigidities]
    base = scaled[comparison.reference]
    return np.array([np.mean(np.abs(each - base) / base) for each in scaled])


def dynamics_table(comparison: Comparison) -> str:
    """One line for each network: how far its LPRs are from those of the reference."""
    lines = ["network\tmean_difference\tover_median\trank_correlation"]
    dynamics = comparison.dynamics
    base = dynamics.rigidities[comparison.reference]
    over_median = differences_over_median(comparison)
    for i, name in enumerate(comparison.names):
        rank = spearmanr(dynamics.rigidities[i], base).statistic
        numbers = (dynamics.differences[i], over_median[i], rank)
        lines.append("\t".join([name, *(f"{number:.3f}" for number in numbers)]))
    return "\n".join(lines)


def errors_table(errors: Errors, size: int) -> str:
    """Describe how errors follow sigma."""
    ratio = np.abs(errors.residual) / errors.sigma
    x, y = in_bins(errors.sigma**2, errors.residual**2, size)
    rows = [
        ("rmse_eV_per_atom", np.sqrt(np.mean(errors.residual**2))),
        ("sigma_rms_eV_per_atom", np.sqrt(np.mean(errors.sigma**2))),
        ("sigma_lowest", errors.sigma.min()),
        ("sigma_highest", errors.sigma.max()),
        ("alpha_eV_per_atom", errors.alpha),
        ("regularizer", errors.regularizer),
        ("within_1_sigma", np.mean(ratio < 1.0)),
        ("within_2_sigma", np.mean(ratio < 2.0)),
        ("within_3_sigma", np.mean(ratio < 3.0)),
        ("rank_correlation", spearmanr(errors.sigma, np.abs(errors.residual)).statistic),
        ("rank_correlation_of_bins", spearmanr(x, y).statistic),
        ("slope_of_bins", np.polyfit(np.log(x), np.log(y), 1)[0]),
    ]
    return "\n".join(f"{name}\t{value:.4g}" for name, value in rows)


def local_table(local: Local, size: int) -> str:
    """Describe how variances and errors of local energies fall with the LPR."""
    lines = ["\trank_correlation\tof_bins\tslope_of_bins\tlowest_tenth\thighest_tenth"]
    tenth = len(local.lpr) // 10
    order = np.argsort(local.lpr)
    for name, values in (("variance", local.variance), ("squared_error", local.squared_error)):
        x, y = in_bins(local.lpr, values, size)
        numbers = [
            spearmanr(local.lpr, values).statistic,
            spearmanr(x, y).statistic,
            np.polyfit(np.log(x), np.log(y), 1)[0],
            values[order[:tenth]].mean(),
            values[order[-tenth:]].mean(),
        ]
        lines.append("\t".join([name, *(f"{number:.3g}" for number in numbers)]))
    return "\n".join(lines)
