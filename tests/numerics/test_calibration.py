from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from prcli.numerics.calibration import (
    CRITERIA,
    Sample,
    best_alpha,
    binned_means,
    cost,
    gaussian_crps,
    gaussian_nll,
    log_ratios,
    squared_log_ratios,
)


def sample(seed=0, n_rows=60, alpha=1.0, tails=False):
    """Residuals drawn from Gaussians, or from something with heavier tails."""
    g = np.random.default_rng(seed)
    variances = np.exp(g.normal(size=n_rows))
    noise = g.standard_t(3, n_rows) if tails else g.normal(size=n_rows)
    return Sample(alpha * np.sqrt(variances) * noise, variances)


def brute_alpha(criterion, samples):
    """Minimize the cost itself."""
    found = minimize_scalar(
        lambda x: cost(criterion, samples, np.exp(x)),
        bounds=(-15, 15),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return np.exp(found.x)


@pytest.mark.parametrize("tails", [False, True])
@pytest.mark.parametrize("n_samples", [1, 2, 3])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_best_alpha_is_where_the_cost_is_lowest(criterion, n_samples, tails):
    samples = [sample(k, 30 + 40 * k, 0.02 * 10.0**k, tails) for k in range(n_samples)]
    found = best_alpha(criterion, samples)
    # A minimum is found to the root of the precision only.
    assert found == pytest.approx(brute_alpha(criterion, samples), rel=1e-5)
    lowest = cost(criterion, samples, found)
    for factor in (0.99, 0.999, 1.001, 1.01):
        assert cost(criterion, samples, factor * found) > lowest


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(CRITERIA),
    st.integers(0, 2**31 - 1),
    st.integers(2, 50),
    st.floats(-6, 6),
    st.floats(-6, 6),
)
def test_alpha_follows_units(criterion, seed, n_rows, of_residuals, of_variances):
    one = sample(seed, n_rows)
    r, v = 10.0**of_residuals, 10.0**of_variances
    other = Sample(r * one.residuals, v * one.variances)
    expected = best_alpha(criterion, [one]) * r / np.sqrt(v)
    assert best_alpha(criterion, [other]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("criterion", ["ssl", "crps"])
def test_costs_have_no_unit(criterion):
    one = sample(1)
    other = Sample(1000.0 * one.residuals, one.variances)
    assert cost(criterion, [one], 2.0) == pytest.approx(cost(criterion, [other], 2000.0))


def test_units_shift_the_likelihood_by_a_constant():
    one, other = sample(1), Sample(1000.0 * sample(1).residuals, sample(1).variances)
    for alpha in (0.3, 2.0):
        shift = cost("nll", [other], 1000 * alpha) - cost("nll", [one], alpha)
        assert shift == pytest.approx(np.log(1000.0))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_samples_count_alike_whatever_their_sizes(criterion):
    small, large = sample(1, 49), sample(2, 100, 5.0)
    twice = Sample(np.repeat(large.residuals, 4), np.repeat(large.variances, 4))
    expected = best_alpha(criterion, [small, large])
    # Bins of the repeated sample hold each row four times, but are not the same bins.
    tolerance = 0.2 if criterion == "ssl" else 1e-9
    assert best_alpha(criterion, [small, twice]) == pytest.approx(expected, rel=tolerance)
    mean = 0.5 * (cost(criterion, [small], 2.0) + cost(criterion, [large], 2.0))
    assert cost(criterion, [small, large], 2.0) == pytest.approx(mean)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_known_alpha_is_recovered(criterion):
    # Its standard error is 0.4 % for the likelihood.
    assert best_alpha(criterion, [sample(3, 40_000, 0.37)]) == pytest.approx(0.37, rel=0.02)


def test_likelihood_is_that_of_scipy():
    one = sample(4)
    sigma = 0.7 * np.sqrt(one.variances)
    expected = -norm.logpdf(one.residuals, scale=sigma).mean()
    assert gaussian_nll(one.residuals, sigma) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("residual", [-3.0, -0.4, 0.0, 1e-3, 0.9, 7.0])
@pytest.mark.parametrize("sigma", [0.2, 1.0, 5.0])
def test_crps_is_the_integral(residual, sigma):
    below = quad(lambda x: norm.cdf(x, scale=sigma) ** 2, -60, residual, limit=200)[0]
    above = quad(lambda x: norm.sf(x, scale=sigma) ** 2, residual, 60, limit=200)[0]
    found = gaussian_crps(np.array([residual]), np.array([sigma]))
    assert found == pytest.approx(below + above, rel=1e-7)


def test_crps_is_a_mean():
    r, s = np.array([1.0, -2.0]), np.array([0.5, 3.0])
    single = [gaussian_crps(r[[k]], s[[k]]) for k in range(2)]
    assert gaussian_crps(r, s) == pytest.approx(np.mean(single), rel=1e-14)


def brute_bins(one):
    """Bins as science states them, in a loop."""
    rows = sorted(zip(one.variances, one.residuals, strict=True), key=lambda pair: pair[0])
    height = int(np.floor(np.sqrt(len(rows))))
    bins = [rows[k : k + height] for k in range(0, len(rows), height)]
    if len(bins) > 1 and len(bins[-1]) < height:
        bins[-2:] = [bins[-2] + bins[-1]]
    return [(np.mean([r * r for _, r in each]), np.mean([v for v, _ in each])) for each in bins]


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 8, 9, 10, 15, 16, 17, 24, 60, 64, 80])
def test_bins_have_equal_counts_and_the_last_takes_the_rest(n_rows):
    one = sample(n_rows, n_rows)
    squares, variances = binned_means(one)
    expected = brute_bins(one)
    np.testing.assert_allclose(np.column_stack([squares, variances]), expected, rtol=1e-12)


def test_ssl_is_a_sum_over_bins():
    one = sample(5, 50)
    sigma = 0.8 * np.sqrt(one.variances)
    expected = sum((np.log(s) - np.log(0.64 * v)) ** 2 for s, v in brute_bins(one))
    assert squared_log_ratios(one.residuals, sigma) == pytest.approx(expected, rel=1e-12)


def test_ssl_of_a_bin_without_errors_is_infinite():
    one = Sample(np.array([0.0, 0.0, 1.0, 1.0]), np.arange(1.0, 5.0))
    assert np.isneginf(log_ratios(one)[0])
    assert squared_log_ratios(one.residuals, np.sqrt(one.variances)) == np.inf
    assert best_alpha("ssl", [one]) == 0.0


@pytest.mark.parametrize("criterion", CRITERIA)
def test_no_errors_have_no_best_alpha(criterion):
    assert best_alpha(criterion, [Sample(np.zeros(9), np.ones(9))]) == 0.0


def test_crps_of_mostly_exact_predictions_has_no_best_alpha():
    residuals = np.zeros(10)
    residuals[0] = 1.0
    assert best_alpha("crps", [Sample(residuals, np.ones(10))]) == 0.0
    residuals[:5] = 1.0
    assert best_alpha("crps", [Sample(residuals, np.ones(10))]) > 0.1


@pytest.mark.parametrize("n_rows", [1, 2])
def test_equal_ratios_are_no_trouble(n_rows):
    one = Sample(np.full(n_rows, 2.0), np.full(n_rows, 4.0))
    assert best_alpha("nll", [one]) == pytest.approx(1.0)
    assert best_alpha("ssl", [one]) == pytest.approx(1.0)
    assert best_alpha("crps", [one]) == pytest.approx(1.0 / np.sqrt(np.log(2.0)))
