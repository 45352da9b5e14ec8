"""The factor α of σ = α/√PR that makes uncertainties fit residuals (Bigi2024).

Each criterion gives the best α, and says how well the uncertainties fit with it:

- ``nll``: negative log-likelihood of Gaussians; α² is the mean of r² PR.
- ``ssl``: squared difference of the logarithms of mean r² and mean σ², over bins of rows of
  similar σ; log α² is the mean of log⟨r²⟩/⟨1/PR⟩ over the bins.
- ``crps``: continuous ranked probability score of Gaussians. It is convex in α, so its minimum
  is where its derivative, which is known in closed form, changes sign.

Several samples, such as energies and forces, count alike whatever their sizes: rows of one
structure's forces are many but not independent. What is compared between samples has no unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import erf

FloatArray = NDArray[np.float64]
Criterion: TypeAlias = Literal["nll", "ssl", "crps"]

CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

_ROOT_PI = float(np.sqrt(np.pi))

#: z at which the CRPS of a Gaussian of given width neither rises nor falls with the width.
_NEUTRAL = float(np.sqrt(np.log(2.0)))

#: z from which the density of a Gaussian is zero in float64.
_NO_DENSITY = 40.0


@dataclass(frozen=True, eq=False)
class Sample:
    """Residuals of one kind of prediction, and how uncertain each one is.

    Attributes
    ----------
    residuals : ndarray of shape (n,)
        Predicted minus reference.
    variances : ndarray of shape (n,)
        1/PR, positive: σ² in units of α².
    """

    residuals: FloatArray
    variances: FloatArray


def best_alpha(criterion: Criterion, samples: Sequence[Sample]) -> float:
    """Give the one α that fits some samples best.

    Parameters
    ----------
    criterion : {"nll", "ssl", "crps"}
    samples : sequence of Sample
        Each counts alike.

    Returns
    -------
    alpha : float
        0 where a smaller one is always better, as for residuals that are all zero.
    """
    return _ALPHAS[criterion](samples)


def cost(criterion: Criterion, samples: Sequence[Sample], alpha: float) -> float:
    """Say how badly uncertainties fit residuals: the mean over samples, without unit.

    Parameters
    ----------
    criterion : {"nll", "ssl", "crps"}
    samples : sequence of Sample
    alpha : float
        Positive.

    Returns
    -------
    cost : float
        Per row (nll; crps, in units of the root mean square residual) or per bin (ssl). A
        change of units shifts that of nll by a constant and leaves the others.
    """
    return float(np.mean([_COSTS[criterion](sample, alpha) for sample in samples]))


def gaussian_nll(residuals: FloatArray, sigma: FloatArray) -> float:
    """Mean negative log-likelihood, in nats; it depends on the unit."""
    scaled = residuals / sigma
    return float(np.mean(0.5 * np.log(2.0 * np.pi) + np.log(sigma) + 0.5 * scaled * scaled))


def gaussian_crps(residuals: FloatArray, sigma: FloatArray) -> float:
    """Mean continuous ranked probability score, in the unit of the residuals."""
    z = residuals / sigma
    terms = z * erf(z / np.sqrt(2.0)) + 2.0 * _density(z) - 1.0 / _ROOT_PI
    return float(np.mean(sigma * terms))


def squared_log_ratios(residuals: FloatArray, sigma: FloatArray) -> float:
    """Sum over bins of (log⟨r²⟩ − log⟨σ²⟩)²; infinite if all residuals of a bin are zero."""
    ratios = log_ratios(Sample(residuals, sigma * sigma))
    return float(ratios @ ratios)


def log_ratios(sample: Sample) -> FloatArray:
    """log⟨r²⟩/⟨1/PR⟩ of bins of rows of similar uncertainty.

    Parameters
    ----------
    sample : Sample
        n rows, n ≥ 1.

    Returns
    -------
    ratios : ndarray of shape (n_bins,)
    """
    squares, variances = binned_means(sample)
    with np.errstate(divide="ignore"):
        ratios: FloatArray = np.log(squares) - np.log(variances)
    return ratios


def binned_means(sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Means of r² and 1/PR over bins of ⌊√n⌋ rows, sorted by 1/PR.

    What is left after the last whole bin belongs to it.

    Returns
    -------
    squares, variances : ndarray of shape (n_bins,)
    """
    n_rows = len(sample.residuals)
    height = int(np.sqrt(n_rows))
    starts = np.arange(n_rows // height) * height
    heights = np.diff(np.append(starts, n_rows))
    order = np.argsort(sample.variances, kind="stable")
    squares = np.add.reduceat(sample.residuals[order] ** 2, starts) / heights
    variances = np.add.reduceat(sample.variances[order], starts) / heights
    return squares, variances


def _nll_alpha(samples: Sequence[Sample]) -> float:
    squares = [np.mean(each.residuals**2 / each.variances) for each in samples]
    return float(np.sqrt(np.mean(squares)))


def _ssl_alpha(samples: Sequence[Sample]) -> float:
    return float(np.exp(0.5 * np.mean([np.mean(log_ratios(each)) for each in samples])))


def _crps_alpha(samples: Sequence[Sample]) -> float:
    """Find where the derivative of the cost by α changes from negative to positive."""
    widths = [np.sqrt(each.variances) for each in samples]
    ratios = [np.abs(each.residuals) / w for each, w in zip(samples, widths, strict=True)]
    weights = [
        width / (len(width) * scale)
        for width, each in zip(widths, samples, strict=True)
        if (scale := _rms(each.residuals)) > 0.0
    ]
    present = [ratio for ratio in ratios if ratio.any()]
    if not present:
        return 0.0

    def derivative(log_alpha: float) -> float:
        alpha = np.exp(log_alpha)
        return sum(
            float(weight @ (2.0 * _density(ratio / alpha) - 1.0 / _ROOT_PI))
            for weight, ratio in zip(weights, present, strict=True)
        )

    # Below, no residual is within reach; above, every residual asks for a smaller width.
    low = np.log(min(float(ratio[ratio > 0.0].min()) for ratio in present) / _NO_DENSITY)
    high = np.log(1.01 * max(float(ratio.max()) for ratio in present) / _NEUTRAL)
    if derivative(low) >= 0.0:
        return 0.0
    return float(np.exp(brentq(derivative, low, high, xtol=1e-14)))


def _nll_cost(sample: Sample, alpha: float) -> float:
    return gaussian_nll(sample.residuals, alpha * np.sqrt(sample.variances))


def _ssl_cost(sample: Sample, alpha: float) -> float:
    ratios = log_ratios(sample) - 2.0 * np.log(alpha)
    return float(np.mean(ratios * ratios))


def _crps_cost(sample: Sample, alpha: float) -> float:
    score = gaussian_crps(sample.residuals, alpha * np.sqrt(sample.variances))
    return score / _rms(sample.residuals)


def _density(z: FloatArray) -> FloatArray:
    """Density of the standard Gaussian."""
    density: FloatArray = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return density


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values * values)))


_ALPHAS: dict[Criterion, Callable[[Sequence[Sample]], float]] = {
    "nll": _nll_alpha,
    "ssl": _ssl_alpha,
    "crps": _crps_alpha,
}
_COSTS: dict[Criterion, Callable[[Sample, float], float]] = {
    "nll": _nll_cost,
    "ssl": _ssl_cost,
    "crps": _crps_cost,
}
