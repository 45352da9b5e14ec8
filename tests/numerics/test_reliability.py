from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from prcli.numerics.calibration import gaussian_crps, gaussian_nll, squared_log_ratios
from prcli.numerics.reliability import COVERED, assess, isolines, reliability_curve


def drawn(seed, n_rows=200, factor=1.0):
    g = np.random.default_rng(seed)
    sigma = np.exp(g.normal(size=n_rows))
    return sigma * g.normal(size=n_rows), factor * sigma


def area_by_sums(residuals, sigma, n_steps=200_001):
    """Area between curve and diagonal, by the midpoint rule."""
    sizes = np.sort(2.0 * norm.cdf(np.abs(residuals / sigma)) - 1.0)
    p = (np.arange(n_steps) + 0.5) / n_steps
    return np.mean(np.abs(np.searchsorted(sizes, p, side="right") / len(sizes) - p))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31 - 1), st.integers(1, 40), st.floats(0.05, 20.0))
def test_area_is_that_between_the_steps_and_the_diagonal(seed, n_rows, factor):
    residuals, sigma = drawn(seed, n_rows, factor)
    found = assess(residuals, sigma).miscalibration_area
    assert found == pytest.approx(area_by_sums(residuals, sigma), abs=1e-5)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_hopeless_uncertainties_have_half_the_square(factor):
    residuals, sigma = drawn(1, 500, factor)
    assert assess(residuals, sigma).miscalibration_area == pytest.approx(0.5, abs=1e-3)


def test_right_uncertainties_have_hardly_any_area():
    # The mean of the area for n rows is about 0.31/√n.
    assert assess(*drawn(2, 100_000)).miscalibration_area < 0.004


def test_metrics_are_their_definitions():
    residuals, sigma = drawn(3, 64, 0.8)
    quality = assess(residuals, sigma)
    z = np.abs(residuals) / sigma
    assert quality.n_rows == 64
    assert quality.rmse == pytest.approx(np.sqrt(np.mean(residuals**2)))
    assert quality.sharpness == pytest.approx(np.sqrt(np.mean(sigma**2)))
    assert quality.coverage == tuple(np.count_nonzero(z <= k) / 64 for k in (1, 2, 3))
    assert quality.nll == gaussian_nll(residuals, sigma)
    assert quality.crps == gaussian_crps(residuals, sigma)
    assert quality.ssl == squared_log_ratios(residuals, sigma)


def test_coverage_of_gaussians():
    np.testing.assert_allclose(COVERED, [0.6827, 0.9545, 0.9973], atol=5e-5)
    np.testing.assert_allclose(assess(*drawn(4, 50_000)).coverage, COVERED, atol=0.006)


def test_curve_ascends_from_small_to_large_intervals():
    sizes = reliability_curve(np.array([2.0, 0.0, -1.0]), np.array([1.0, 1.0, 0.5]))
    np.testing.assert_allclose(sizes, [0.0, COVERED[1], COVERED[1]])


@pytest.mark.parametrize(("k", "fraction"), list(enumerate(COVERED)))
def test_isolines_enclose_their_fraction_where_it_is_densest(k, fraction):
    low, high = isolines()[k]
    assert 2.0 * (norm.cdf(high) - norm.cdf(low)) == pytest.approx(fraction, rel=1e-9)
    # The density of log |z| is z φ(z): equal at both ends, higher in between.
    assert low * norm.pdf(low) == pytest.approx(high * norm.pdf(high), rel=1e-9)
    assert low < 1.0 < high


def test_isolines_are_nested():
    (a, b), (c, d), (e, f) = isolines()
    assert e < c < a < 1 < b < d < f
