from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import exact_inverse_rigidities
from problems import REGULARIZERS, decaying, factor_of, low_rank, spread_columns, steep
from threadpoolctl import threadpool_limits

from prcli.errors import RankError
from prcli.numerics.rigidity import inverse_rigidities
from prcli.numerics.square_root import (
    BLOCK_ROWS,
    SquareRoot,
    balanced_condition,
    condition_number,
    with_prior,
)


def gram(factor):
    return factor.T @ factor


@pytest.mark.parametrize("n_rows", [0, 1, 3, 8, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 5])
@pytest.mark.parametrize("n_columns", [1, 5, 33, 70])
def test_factor_reproduces_the_sum_of_outer_products(n_rows, n_columns):
    rows = np.random.default_rng(n_rows).normal(size=(n_rows, n_columns))
    factor = factor_of(rows)
    np.testing.assert_allclose(gram(factor), rows.T @ rows, atol=1e-12 * max(1, n_rows))
    assert np.all(np.tril(factor, -1) == 0.0)


def test_weights_multiply_outer_products():
    g = np.random.default_rng(1)
    rows, weights = g.normal(size=(1500, 4)), g.uniform(0, 3, 1500)
    weights[::7] = 0.0
    expected = (rows * weights[:, None]).T @ rows
    np.testing.assert_allclose(gram(factor_of(rows, weights)), expected, rtol=1e-12, atol=1e-10)


def test_rows_and_weights_are_left_alone():
    g = np.random.default_rng(2)
    rows, weights = np.asfortranarray(g.normal(size=(9, 4))), g.uniform(1, 2, 9)
    kept, kept_weights = rows.copy(), weights.copy()
    factor_of(rows, weights)
    assert np.array_equal(rows, kept)
    assert np.array_equal(weights, kept_weights)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_other_types_count_as_their_float64_values(dtype):
    rows = (10 * np.random.default_rng(3).normal(size=(20, 5))).astype(dtype)
    assert np.array_equal(factor_of(rows), factor_of(rows.astype(np.float64)))


def test_strided_rows_count_as_their_copy():
    rows = np.random.default_rng(4).normal(size=(40, 12))[::3, ::2]
    assert np.array_equal(factor_of(rows), factor_of(rows.copy()))


def test_from_factor_copies():
    factor = factor_of(np.eye(3))
    SquareRoot.from_factor(factor).add_rows(np.ones((2, 3)))
    assert np.array_equal(gram(factor), np.eye(3))


def test_merge_leaves_its_argument_alone():
    factor = np.asfortranarray(np.triu(np.ones((4, 4))))
    root = SquareRoot(4)
    root.add_rows(np.random.default_rng(5).normal(size=(6, 4)))
    root.merge(factor)
    assert np.array_equal(factor, np.triu(np.ones((4, 4))))


def test_no_columns_is_allowed():
    root = SquareRoot(0)
    root.add_rows(np.empty((3, 0)))
    root.merge(np.empty((0, 0)))
    assert with_prior(root.factor, np.ones(0), 1.0).shape == (0, 0)
    assert condition_number(root.factor) == balanced_condition(root.factor) == 1.0


@pytest.mark.parametrize("kind", ["diagonal", "triangular"])
def test_with_prior_adds_it(kind):
    g = np.random.default_rng(6)
    data = factor_of(g.normal(size=(9, 5)))
    root = g.uniform(0, 2, 5) if kind == "diagonal" else np.triu(g.normal(size=(5, 5)))
    F = np.diag(root) if kind == "diagonal" else root
    kept, kept_root = data.copy(), root.copy()
    factor = with_prior(data, root, 0.3)
    np.testing.assert_allclose(gram(factor), gram(data) + 0.3 * F.T @ F, rtol=1e-12, atol=1e-12)
    assert np.array_equal(data, kept)
    assert np.array_equal(root, kept_root)


@pytest.mark.parametrize(("n_rows", "rank"), [(0, 0), (1, 1), (4, 4), (5, 5)])
def test_singular_hessian_is_refused_with_its_rank(n_rows, rank):
    rows = np.random.default_rng(7).normal(size=(n_rows, 6))
    with pytest.raises(RankError, match=f"rank {rank} of 6"):
        with_prior(factor_of(rows), np.ones(6), 0.0)


def test_rank_is_that_of_dependent_columns_too():
    rows = low_rank(np.random.default_rng(8), 30, 8)
    with pytest.raises(RankError, match="rank 4 of 8"):
        with_prior(factor_of(rows), np.ones(8), 0.0)


def test_intercept_that_no_row_determines_is_refused():
    rows = np.random.default_rng(9).normal(size=(20, 4))
    rows[:, 3] = 0.0
    with pytest.raises(RankError, match="rank 3 of 4"):
        with_prior(factor_of(rows), np.array([1.0, 1.0, 1.0, 0.0]), 1e-2)


def test_two_intercepts_that_stand_for_the_same_are_refused():
    rows = np.random.default_rng(10).normal(size=(20, 4))
    rows[:, 2:] = 0.5
    with pytest.raises(RankError, match="rank 3 of 4"):
        with_prior(factor_of(rows), np.array([1.0, 1.0, 0.0, 0.0]), 1e-2)


def test_units_of_columns_do_not_make_a_hessian_singular():
    rows = spread_columns(np.random.default_rng(11), 20, 6)
    factor = with_prior(factor_of(rows), np.ones(6), 0.0)
    assert condition_number(factor) > 1e11
    assert balanced_condition(factor) < 1e3


def test_full_rank_without_regularizer_is_accepted():
    rows = np.random.default_rng(12).normal(size=(20, 6))
    np.testing.assert_allclose(gram(with_prior(factor_of(rows), np.ones(6), 0.0)), rows.T @ rows)


def test_condition_number_is_the_ratio_of_singular_values():
    assert condition_number(np.diag([8.0, 2.0, 0.5])) == pytest.approx(16.0)
    assert condition_number(np.diag([1.0, 0.0])) == np.inf
    assert balanced_condition(np.diag([1.0, 0.0])) == np.inf


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), shards=st.integers(1, 6))
def test_shards_merge_to_the_factor_of_the_union(seed, shards):
    g = np.random.default_rng(seed)
    rows = decaying(g, 40, 7)
    merged = SquareRoot(7)
    for part in np.array_split(g.permutation(40), shards):
        merged.merge(factor_of(rows[part]))
    np.testing.assert_allclose(gram(merged.factor), gram(factor_of(rows)), atol=1e-11)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("n_rows", [12, 25, 60])
@pytest.mark.parametrize("draw", [decaying, steep])
def test_inverse_rigidities_agree_with_400_bits(regularizer, n_rows, draw):
    g = np.random.default_rng(n_rows)
    rows, targets = draw(g, n_rows, 25), draw(g, 12, 25)
    exact = exact_inverse_rigidities(rows, targets, regularizer)
    factor = with_prior(factor_of(rows), np.ones(25), regularizer)
    np.testing.assert_allclose(inverse_rigidities(targets, factor), exact, rtol=1e-9)


@pytest.mark.parametrize("regularizer", [1e-8, 1e-13])
def test_accuracy_survives_shards_and_a_full_prior(regularizer):
    g = np.random.default_rng(13)
    rows, targets = decaying(g, 40, 15), decaying(g, 8, 15)
    root = np.triu(g.normal(size=(15, 15))) + 4.0 * np.eye(15)
    merged = SquareRoot(15)
    for part in (rows[:3], rows[3:20], rows[20:]):
        merged.merge(factor_of(part))
    factor = with_prior(merged.factor, root, regularizer)
    exact = exact_inverse_rigidities(rows, targets, regularizer, prior_root=root)
    np.testing.assert_allclose(inverse_rigidities(targets, factor), exact, rtol=1e-9)


def test_the_accuracy_asked_for_is_out_of_reach_of_normal_equations():
    g = np.random.default_rng(60)
    rows, targets = decaying(g, 60, 25), decaying(g, 12, 25)
    exact = exact_inverse_rigidities(rows, targets, 1e-13)
    H = rows.T @ rows + 1e-13 * np.eye(25)
    formed = np.einsum("ti,ti->t", targets, np.linalg.solve(H, targets.T).T)
    assert np.max(np.abs(formed / exact - 1.0)) > 1e-7


@pytest.fixture
def many_rows():
    return np.random.default_rng(7).normal(size=(11 * BLOCK_ROWS + 37, 90))


def test_many_rows_are_summed_side_by_side(many_rows):
    weights = np.random.default_rng(8).uniform(0.0, 2.0, len(many_rows))
    root = SquareRoot(90)
    root.add_rows(many_rows[:5], weights[:5])
    root.add_rows(many_rows[5:], weights[5:])
    expected = (many_rows * weights[:, None]).T @ many_rows
    np.testing.assert_allclose(gram(root.factor), expected, rtol=1e-11, atol=1e-8)
    assert np.all(np.tril(root.factor, -1) == 0.0)


def test_number_of_threads_changes_no_digit(many_rows):
    factors = []
    for n_threads in (1, 2, 3):
        with threadpool_limits(n_threads, user_api="blas"):
            root = SquareRoot(90)
            root.add_rows(many_rows)
            factors.append(root.factor)
    assert np.array_equal(factors[0], factors[1])
    assert np.array_equal(factors[0], factors[2])


def test_sum_goes_on_after_it_was_looked_at(many_rows):
    root = SquareRoot(90)
    for part in (many_rows, np.eye(90), many_rows):
        root.add_rows(part)
        assert root.factor.shape == (90, 90)
    root.merge(np.triu(np.ones((90, 90))))
    triangle = np.triu(np.ones((90, 90)))
    expected = 2.0 * many_rows.T @ many_rows + np.eye(90) + triangle.T @ triangle
    np.testing.assert_allclose(gram(root.factor), expected, rtol=1e-11, atol=1e-8)
