from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import exact_inverse_rigidities
from scipy.stats import chi2

from prcli.numerics.ensemble import draw, sample_weights, spread
from prcli.numerics.square_root import SquareRoot, with_prior

D, ALPHA = 6, 0.3
#: Each random check fails once in so many runs with another seed.
RARE = 1e-6


def problem(seed: int = 0, n_columns: int = D) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, factor of their Hessian, and rows to predict."""
    g = np.random.default_rng(seed)
    rows = g.normal(size=(20, n_columns)) * np.linspace(0.1, 2.0, n_columns)
    root = SquareRoot(n_columns)
    root.add_rows(rows)
    factor = with_prior(root.factor, np.ones(n_columns), 0.01)
    return rows, factor, g.normal(size=(4, n_columns))


def covariance(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """α² G H⁻¹ Gᵀ with H written out."""
    matrix = rows.T @ rows + 0.01 * np.eye(rows.shape[1])
    return ALPHA**2 * targets @ np.linalg.solve(matrix, targets.T)


def test_sigma_is_exact():
    rows, factor, targets = problem()
    sigma, _ = spread(targets, factor, draw(2, D, 0), ALPHA)
    exact = exact_inverse_rigidities(rows, targets, 0.01)
    np.testing.assert_allclose(sigma, ALPHA * np.sqrt(exact), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_variances_agree_with_sigma(seed):
    _, factor, targets = problem(seed)
    n_members = 5000
    sigma, deviations = spread(targets, factor, draw(n_members, D, seed), ALPHA)
    ratio = np.sum(deviations**2, axis=1) / sigma**2
    assert (chi2.ppf(RARE, n_members) < ratio).all()
    assert (ratio < chi2.isf(RARE, n_members)).all()


@pytest.mark.parametrize("seed", range(3))
def test_covariances_agree_with_the_posterior(seed):
    rows, factor, targets = problem(seed)
    n_members = 5000
    _, deviations = spread(targets, factor, draw(n_members, D, seed), ALPHA)
    # In coordinates where the covariance shall be the identity, numbers are independent.
    whitened = np.linalg.solve(np.linalg.cholesky(covariance(rows, targets)), deviations)
    products = whitened @ whitened.T
    n_numbers = n_members * len(targets)
    assert chi2.ppf(RARE, n_numbers) < np.trace(products) < chi2.isf(RARE, n_numbers)
    others = products[~np.eye(len(targets), dtype=bool)]
    assert np.abs(others).max() < 6.0 * np.sqrt(n_members)


def test_covariances_of_rows_are_not_all_zero():
    rows, _, targets = problem()
    expected = covariance(rows, targets)
    correlation = expected / np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs(correlation - np.eye(len(targets))).max() > 0.3


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 99))
def test_weights_and_deviations_are_the_same_members(n_columns, n_members, seed):
    _, factor, targets = problem(seed, n_columns)
    weights = np.random.default_rng(seed).normal(size=n_columns)
    draws = draw(n_members, n_columns, seed)
    sampled = sample_weights(weights, factor, draws, ALPHA)
    _, deviations = spread(targets, factor, draws, ALPHA)
    assert sampled.shape == (n_members, n_columns)
    assert sampled.flags.c_contiguous
    expected = (targets @ weights)[:, np.newaxis] + deviations
    np.testing.assert_allclose(targets @ sampled.T, expected, rtol=1e-10, atol=1e-12)


def test_weights_are_those_of_a_triangular_system():
    _, factor, _ = problem()
    draws = draw(3, D, 1)
    sampled = sample_weights(np.zeros(D), factor, draws, ALPHA)
    np.testing.assert_allclose(sampled @ factor.T, ALPHA * draws, rtol=1e-12, atol=1e-14)


def test_differences_of_rows_deviate_by_the_difference():
    _, factor, targets = problem()
    draws = draw(7, D, 0)
    _, both = spread(targets[:2], factor, draws, ALPHA)
    _, difference = spread(targets[:1] - targets[1:2], factor, draws, ALPHA)
    np.testing.assert_allclose(difference[0], both[0] - both[1], rtol=1e-10)


def test_rows_of_zeros_do_not_deviate():
    _, factor, _ = problem()
    sigma, deviations = spread(np.zeros((1, D)), factor, draw(3, D, 0), ALPHA)
    assert sigma.tolist() == [0.0]
    assert not deviations.any()


def test_rows_are_kept_unless_they_may_be_overwritten():
    _, factor, targets = problem()
    before = targets.copy()
    expected = spread(targets, factor, draw(3, D, 0), ALPHA)
    np.testing.assert_array_equal(targets, before)
    found = spread(targets, factor, draw(3, D, 0), ALPHA, overwrite=True)
    np.testing.assert_array_equal(found[1], expected[1])


def test_seeds_decide_members():
    np.testing.assert_array_equal(draw(4, D, 3), draw(4, D, 3))
    assert not np.array_equal(draw(4, D, 3), draw(4, D, 4))


def test_first_members_do_not_depend_on_their_number():
    np.testing.assert_array_equal(draw(40, D, 3)[:4], draw(4, D, 3))
