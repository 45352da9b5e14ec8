"""How far uncertainties can be trusted: what fraction of errors they cover, and how well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import erf

from prcli.numerics.calibration import gaussian_crps, gaussian_nll, squared_log_ratios

FloatArray = NDArray[np.float64]

#: Multiples of σ whose coverage is reported, and what a Gaussian covers.
MULTIPLES = (1, 2, 3)
COVERED: tuple[float, ...] = tuple(float(erf(k / np.sqrt(2.0))) for k in MULTIPLES)


@dataclass(frozen=True)
class Quality:
    """How well uncertainties fit residuals.

    Attributes
    ----------
    n_rows : int
    rmse : float
        Root mean square residual, in its unit.
    nll : float
        Mean negative log-likelihood of Gaussians, nats; it depends on the unit.
    crps : float
        Mean continuous ranked probability score, in the unit of the residuals.
    ssl : float
        Sum of squared log ratios of mean squares and mean variances over bins.
    miscalibration_area : float
        Between the reliability curve and the diagonal: 0 is perfect, 1/2 the worst.
    sharpness : float
        Root mean square σ, in the unit of the residuals.
    coverage : tuple of float
        Fractions of residuals within 1, 2 and 3 σ.
    """

    n_rows: int
    rmse: float
    nll: float
    crps: float
    ssl: float
    miscalibration_area: float
    sharpness: float
    coverage: tuple[float, ...]


def assess(residuals: FloatArray, sigma: FloatArray) -> Quality:
    """Measure how well uncertainties fit residuals.

    Parameters
    ----------
    residuals : ndarray of shape (n,)
        Predicted minus reference, n ≥ 1.
    sigma : ndarray of shape (n,)
        Standard deviations, positive, in the same unit.

    Returns
    -------
    quality : Quality
    """
    z = np.abs(residuals / sigma)
    return Quality(
        n_rows=len(residuals),
        rmse=float(np.sqrt(np.mean(residuals**2))),
        nll=gaussian_nll(residuals, sigma),
        crps=gaussian_crps(residuals, sigma),
        ssl=squared_log_ratios(residuals, sigma),
        miscalibration_area=_area(reliability_curve(residuals, sigma)),
        sharpness=float(np.sqrt(np.mean(sigma**2))),
        coverage=tuple(float(np.mean(z <= k)) for k in MULTIPLES),
    )


def reliability_curve(residuals: FloatArray, sigma: FloatArray) -> FloatArray:
    """Sizes of the central intervals that just hold each residual.

    Parameters
    ----------
    residuals, sigma : ndarray of shape (n,)

    Returns
    -------
    sizes : ndarray of shape (n,)
        Probabilities of a Gaussian, ascending: an interval of size p holds the fraction k/n of
        the residuals from the k-th of them on.
    """
    sizes: FloatArray = np.sort(erf(np.abs(residuals / sigma) / np.sqrt(2.0)))
    return sizes


def isolines() -> tuple[tuple[float, float], ...]:
    """Bounds of |r|/σ between which 1, 2 and 3 σ worth of a Gaussian's probability lies.

    They bound the most probable region in log |r|, whose density peaks at |r| = σ, so that on
    logarithmic axes they are lines above and below y = x.

    Returns
    -------
    bounds : tuple of (lower, upper)
    """
    return tuple(_densest(fraction) for fraction in COVERED)


def _densest(fraction: float) -> tuple[float, float]:
    """Bounds of the region of highest density of log |z| that holds a fraction."""

    def upper(lower: float) -> float:
        """|z| above 1 where z exp(−z²/2) is what it is at `lower`."""
        level = np.log(lower) - 0.5 * lower * lower
        return float(brentq(lambda z: np.log(z) - 0.5 * z * z - level, 1.0, 40.0))

    def excess(lower: float) -> float:
        return float(erf(upper(lower) / np.sqrt(2.0)) - erf(lower / np.sqrt(2.0)) - fraction)

    lower = float(brentq(excess, 1e-6, 1.0 - 1e-9, xtol=1e-15))
    return lower, upper(lower)


def _area(sizes: FloatArray) -> float:
    """Area between the steps k/n at `sizes` and the diagonal, exactly."""
    n = len(sizes)
    edges = np.concatenate([[0.0], sizes, [1.0]])
    left, right = edges[:-1], edges[1:]
    height = np.arange(n + 1) / n
    below, above = height - left, right - height
    crosses = (below > 0.0) & (above > 0.0)
    squares = 0.5 * (below**2 + above**2)
    trapezoids = 0.5 * (right - left) * np.abs(below - above)
    return float(np.where(crosses, squares, trapezoids).sum())
