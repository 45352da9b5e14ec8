from __future__ import annotations

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import BITS, exact_hessian, exact_inverse_rigidities, exact_matrix, known
from problems import decaying, factor_of, low_rank, normal, spread_columns

from prcli.errors import RankError
from prcli.numerics.refit import ErrorSums, Regression
from prcli.numerics.rigidity import inverse_rigidities
from prcli.numerics.square_root import with_prior


def regression_of(rows, values, prior_root=None, regularizer=0.0):
    """Sums of rows; the prior below them is the identity if nothing else is said."""
    regression = Regression(rows.shape[1])
    regression.add_rows(rows, values)
    root = np.ones(rows.shape[1]) if prior_root is None else prior_root
    regression.add_prior(root, regularizer)
    return regression


def ridge(rows, values, regularizer, prior_root=None):
    return regression_of(rows, values, prior_root, regularizer).fit().weights


def stacked(rows, values, prior_root, regularizer):
    """Least squares by numpy on the rows with the prior below them."""
    full = np.diag(prior_root) if prior_root.ndim == 1 else prior_root
    lhs = np.concatenate([rows, np.sqrt(regularizer) * full])
    rhs = np.concatenate([values, np.zeros(len(full))])
    return np.linalg.lstsq(lhs, rhs, rcond=None)[0]


def exact_weights(rows, values, prior_root, regularizer):
    """Solution of the normal equations in 400-bit arithmetic, correctly rounded."""
    flint.ctx.prec = BITS
    H = exact_hessian(rows, prior_root, regularizer)
    right = exact_matrix(rows).transpose() * exact_matrix(values[:, np.newaxis])
    solved = H.solve(right)
    return np.array([known(solved[i, 0]) for i in range(rows.shape[1])])


def upper(n_columns, seed=5):
    """An upper-triangular root of a prior."""
    g = np.random.default_rng(seed)
    return np.triu(g.normal(size=(n_columns, n_columns))) + 3.0 * np.eye(n_columns)


@pytest.mark.parametrize("draw", [normal, decaying, low_rank])
@pytest.mark.parametrize("n_rows", [0, 1, 4, 60])
@pytest.mark.parametrize("prior", ["identity", "diagonal", "full"])
def test_ridge_equals_least_squares_of_the_stacked_system(draw, n_rows, prior):
    g = np.random.default_rng(n_rows)
    rows, values = draw(g, n_rows, 7), g.normal(size=n_rows)
    root = {"identity": np.ones(7), "diagonal": g.uniform(0.5, 2, 7), "full": upper(7)}[prior]
    found = ridge(rows, values, 1e-3, root)
    # The condition number is below 1e3, and numpy's solution has errors of its own.
    np.testing.assert_allclose(found, stacked(rows, values, root, 1e-3), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("regularizer", [1e-4, 1e-8, 1e-11])
def test_predictions_agree_with_extended_precision(regularizer):
    g = np.random.default_rng(1)
    rows, targets = decaying(g, 30, 12), decaying(g, 9, 12)
    values = rows @ g.normal(size=12) + 0.1 * g.normal(size=30)
    found = ridge(rows, values, regularizer)
    exact = exact_weights(rows, values, np.ones(12), regularizer)
    # Errors of a backward stable solution: 1e-16 times a condition number of up to 3e5, and
    # times the size of the weights.
    scale = np.abs(targets).max() * np.abs(exact).max()
    np.testing.assert_allclose(targets @ found, targets @ exact, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("regularizer", [1e-4, 1e-8, 1e-11])
def test_rows_that_follow_the_prior_lose_no_digits(regularizer):
    g = np.random.default_rng(1)
    rows, targets = decaying(g, 30, 12), decaying(g, 9, 12)
    values = rows @ g.normal(size=12) + 0.1 * g.normal(size=30)
    grown = regression_of(rows[:10], values[:10], None, regularizer)
    for i in range(10, 30):
        grown.add_rows(rows[i : i + 1], values[i : i + 1])
    exact = exact_weights(rows, values, np.ones(12), regularizer)
    scale = np.abs(targets).max() * np.abs(exact).max()
    fit = grown.fit()
    np.testing.assert_allclose(targets @ fit.weights, targets @ exact, rtol=0, atol=1e-10 * scale)
    expected = exact_inverse_rigidities(rows, targets, regularizer)
    np.testing.assert_allclose(inverse_rigidities(targets, fit.factor), expected, rtol=1e-10)


def test_normal_equations_would_not_do():
    """What the triangle is for: the same numbers from XᵀX are off by far more."""
    g = np.random.default_rng(1)
    rows = decaying(g, 30, 12)
    values = rows @ g.normal(size=12) + 0.1 * g.normal(size=30)
    exact = exact_weights(rows, values, np.ones(12), 1e-11)
    found = ridge(rows, values, 1e-11)
    gram = np.linalg.solve(rows.T @ rows + 1e-11 * np.eye(12), rows.T @ values)
    errors = [np.abs(weights - exact).max() / np.abs(exact).max() for weights in (found, gram)]
    assert errors[0] < 1e-3 * errors[1]


def test_one_column_in_closed_form():
    rows, values = np.array([[1.0], [2.0], [-1.0]]), np.array([3.0, 1.0, 2.0])
    fit = regression_of(rows, values, None, 0.5).fit()
    assert fit.weights[0] == pytest.approx((3.0 + 2.0 - 2.0) / (6.0 + 0.5), rel=1e-15)
    assert abs(fit.factor[0, 0]) == pytest.approx(np.sqrt(6.5), rel=1e-15)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 25), max_size=4))
def test_rows_may_come_in_any_pieces(seed, cuts):
    g = np.random.default_rng(seed)
    rows, values = spread_columns(g, 25, 5), g.normal(size=25)
    whole = ridge(rows, values, 1e-2)
    pieces = Regression(5)
    order = g.permutation(25)
    for part in np.split(order, sorted(cuts)):
        pieces.add_rows(rows[part], values[part])
    pieces.add_prior(np.ones(5), 1e-2)
    found = rows @ pieces.fit().weights
    np.testing.assert_allclose(found, rows @ whole, rtol=0, atol=1e-9)


def test_a_copy_grows_by_itself():
    g = np.random.default_rng(2)
    rows, values = g.normal(size=(9, 4)), g.normal(size=9)
    base = regression_of(rows[:5], values[:5], None, 0.1)
    before = base.fit().weights
    grown = base.copy()
    grown.add_rows(rows[5:], values[5:])
    np.testing.assert_array_equal(base.fit().weights, before)
    np.testing.assert_allclose(grown.fit().weights, ridge(rows, values, 0.1), rtol=1e-12)


def test_factor_is_that_of_the_hessian():
    g = np.random.default_rng(4)
    rows, values = g.normal(size=(12, 5)), g.normal(size=12)
    factor = regression_of(rows, values, upper(5), 1e-2).fit().factor
    expected = with_prior(factor_of(rows), upper(5), 1e-2)
    np.testing.assert_allclose(factor.T @ factor, expected.T @ expected, rtol=1e-12, atol=1e-12)
    assert np.all(np.tril(factor, -1) == 0.0)


def test_values_that_rows_explain_completely_are_fitted():
    rows = np.random.default_rng(5).normal(size=(8, 3))
    weights = np.array([1.0, -2.0, 0.5])
    found = ridge(rows, rows @ weights, 0.0)
    np.testing.assert_allclose(found, weights, rtol=1e-13)


@pytest.mark.parametrize("prior_root", [np.zeros(3), np.array([1.0, 1.0, 0.0])])
def test_undetermined_weights_are_refused(prior_root):
    rows = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    with pytest.raises(RankError, match="rank 2 of 3"):
        ridge(rows, np.ones(2), 1e-3, prior_root)


def test_smallest_weights_are_those_of_the_pseudoinverse():
    g = np.random.default_rng(6)
    rows, values = low_rank(g, 20, 6), g.normal(size=20)
    weights, rank = regression_of(rows, values).smallest()
    assert rank == 3
    np.testing.assert_allclose(weights, np.linalg.pinv(rows) @ values, rtol=1e-9, atol=1e-12)


def test_error_sums_are_those_of_all_rows():
    errors = np.random.default_rng(7).normal(size=(23, 4))
    sums = ErrorSums(4)
    for part in np.split(errors, [0, 5, 17]):
        sums.add(part)
    assert sums.n_rows == 23
    np.testing.assert_allclose(sums.rmse, np.sqrt((errors**2).mean(axis=0)), rtol=1e-13)
    np.testing.assert_allclose(sums.mae, np.abs(errors).mean(axis=0), rtol=1e-13)


def test_errors_of_no_rows_are_nan():
    sums = ErrorSums(2)
    assert np.isnan([*sums.rmse, *sums.mae]).all()


def test_a_fit_stays_as_rows_are_added():
    for n_columns in (1, 3):
        regression = regression_of(np.ones((2, n_columns)), np.ones(2), None, 1.0)
        fit = regression.fit()
        kept = fit.factor.copy(), fit.weights.copy()
        regression.add_rows(np.full((1, n_columns), 5.0), np.zeros(1))
        regression.fit()
        np.testing.assert_array_equal(fit.factor, kept[0])
        np.testing.assert_array_equal(fit.weights, kept[1])
