from __future__ import annotations

import numpy as np
import pytest
from oracles import exact_inverse_rigidities
from problems import decaying, factor_of

from prcli.numerics.rigidity import (
    inverse_rigidities,
    prior_shares,
    reciprocal,
    rigidities,
    squared_norms,
    whiten,
)
from prcli.numerics.square_root import with_prior


@pytest.fixture
def factor():
    rows = np.random.default_rng(0).normal(size=(12, 5))
    return with_prior(factor_of(rows), np.ones(5), 1e-3)


@pytest.fixture
def rows():
    return np.random.default_rng(1).normal(size=(7, 5))


def test_whitened_rows_times_the_factor_are_the_rows(factor, rows):
    whitened = whiten(rows, factor)
    np.testing.assert_allclose(whitened @ factor, rows, atol=1e-13)
    assert whitened.flags.c_contiguous


def test_rows_are_kept_by_default(factor, rows):
    kept = rows.copy()
    rigidities(rows, factor)
    assert np.array_equal(rows, kept)


def test_overwriting_uses_the_memory_of_the_rows(factor, rows):
    kept = rows.copy()
    whitened = whiten(rows, factor, overwrite=True)
    assert np.shares_memory(whitened, rows)
    np.testing.assert_array_equal(whitened, whiten(kept, factor))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("overwrite", [False, True])
def test_layout_and_type_do_not_matter(factor, rows, order, dtype, overwrite):
    given = np.array(rows, dtype=dtype, order=order)
    expected = rigidities(np.array(given, dtype=np.float64), factor)
    assert np.array_equal(rigidities(given, factor, overwrite=overwrite), expected)


def test_rigidity_is_the_inverse_of_the_quadratic_form(factor, rows):
    H = factor.T @ factor
    expected = 1.0 / np.einsum("ti,ij,tj->t", rows, np.linalg.inv(H), rows)
    np.testing.assert_allclose(rigidities(rows, factor), expected, rtol=1e-11)


def test_row_of_zeros_is_infinitely_rigid(factor):
    assert rigidities(np.zeros((1, 5)), factor).tolist() == [np.inf]
    assert inverse_rigidities(np.zeros((1, 5)), factor).tolist() == [0.0]


def test_no_rows_have_no_rigidities(factor):
    assert rigidities(np.empty((0, 5)), factor).shape == (0,)


def test_single_column():
    assert rigidities(np.array([[2.0]]), np.array([[4.0]])).tolist() == [4.0]


def test_squared_norms_are_per_row():
    assert squared_norms(np.array([[3.0, 4.0], [0.0, 1.0]])).tolist() == [25.0, 1.0]


def test_reciprocal_knows_zero():
    assert reciprocal(np.array([0.0, 4.0])).tolist() == [np.inf, 0.25]


def test_reciprocal_beyond_the_range_is_silent_and_nan_stays():
    found = reciprocal(np.array([1e-310, np.inf, np.nan]))
    np.testing.assert_array_equal(found, [np.inf, 0.0, np.nan])


def test_components_are_rows_with_the_other_columns_zero():
    g = np.random.default_rng(2)
    rows, targets = decaying(g, 30, 8), decaying(g, 6, 8)
    targets[:, :3] = 0.0
    factor = with_prior(factor_of(rows), np.ones(8), 1e-11)
    exact = exact_inverse_rigidities(rows, targets, 1e-11)
    np.testing.assert_allclose(inverse_rigidities(targets, factor), exact, rtol=1e-9)


def local_rigidity_setup():
    g = np.random.default_rng(3)
    train = [decaying(g, n, 6, decades=3) for n in (2, 5, 3, 8, 1, 4, 6, 2)]
    test = [decaying(g, n, 6, decades=3) for n in (4, 1, 7)]
    scale = np.sqrt(np.mean(np.sum(np.concatenate(train) ** 2, axis=1)))
    means = np.array([atoms.mean(axis=0) for atoms in train])
    factor = with_prior(factor_of(means / scale), np.ones(6), 1e-4)
    return train, test, scale, factor


def test_local_rigidities_agree_with_scikit_matter():
    metrics = pytest.importorskip("skmatter.metrics")
    train, test, scale, factor = local_rigidity_setup()
    theirs, rank_difference = metrics.local_prediction_rigidity(train, test, 1e-4)
    assert rank_difference == 0
    for atoms, expected in zip(test, theirs, strict=True):
        np.testing.assert_allclose(rigidities(atoms / scale, factor), expected, rtol=1e-9)


def test_component_rigidities_agree_with_scikit_matter():
    metrics = pytest.importorskip("skmatter.metrics")
    train, test, scale, factor = local_rigidity_setup()
    widths = np.array([2, 4])
    theirs, local, _ = metrics.componentwise_prediction_rigidity(train, test, 1e-4, widths)
    masks = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    for structure, atoms in enumerate(test):
        for component, mask in enumerate(masks):
            mean = atoms.mean(axis=0, keepdims=True) * mask / scale
            expected = theirs[structure, component]
            np.testing.assert_allclose(rigidities(mean, factor), expected, rtol=1e-9)
            np.testing.assert_allclose(
                rigidities(atoms * mask / scale, factor), local[structure][:, component], rtol=1e-9
            )


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_share_of_the_prior_is_that_of_the_inverse(kind):
    g = np.random.default_rng(8)
    rows, targets = g.normal(size=(3, 5)), g.normal(size=(4, 5))
    targets[3] = 0.0
    root = g.uniform(0.5, 2.0, 5) if kind == "diagonal" else np.triu(g.normal(size=(5, 5)))
    full = np.diag(root) if kind == "diagonal" else root
    prior = 0.01 * full.T @ full
    inverse = np.linalg.inv(rows.T @ rows + prior)
    factor = np.asfortranarray(np.linalg.cholesky(rows.T @ rows + prior).T)
    shares = prior_shares(whiten(targets, factor), factor, root, 0.01)
    held = np.einsum("ti,ij,tj->t", targets, inverse @ prior @ inverse, targets)
    variances = np.einsum("ti,ij,tj->t", targets, inverse, targets)
    np.testing.assert_allclose(shares[:3], held[:3] / variances[:3], rtol=1e-9)
    assert shares[3] == 0.0


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_share_of_the_prior_does_not_depend_on_the_length_of_a_row(kind):
    g = np.random.default_rng(8)
    factor = np.asfortranarray(np.triu(g.normal(size=(4, 4))) * [1e-3, 1.0, 1.0, 10.0])
    root = g.uniform(0.5, 2.0, 4) if kind == "diagonal" else np.triu(g.normal(size=(4, 4)))
    rows = g.normal(size=(5, 4))
    expected = prior_shares(rows, factor, root, 1e-9)
    assert 0.0 < expected.min() < expected.max() < 1.0
    longer = np.array([[1e155], [1.0], [1e200], [1e300], [0.0]]) * rows
    shares = prior_shares(longer, factor, root, 1e-9)
    np.testing.assert_allclose(shares[:4], expected[:4], rtol=1e-12)
    assert shares[4] == 0.0


def test_what_no_training_row_touches_is_held_by_the_prior_alone():
    factor = np.diag([10.0, 0.1])
    shares = prior_shares(whiten(np.eye(2), factor), factor, np.ones(2), 0.01)
    np.testing.assert_allclose(shares, [0.01 / 100.0, 1.0], rtol=1e-12)
