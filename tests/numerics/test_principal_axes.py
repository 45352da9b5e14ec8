from __future__ import annotations

import numpy as np
import pytest

from prcli.numerics.principal_axes import principal_axes


def cloud(n_rows, n_columns, seed=0):
    g = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(g.normal(size=(n_columns, n_columns)))
    lengths = 10.0 * 0.6 ** np.arange(n_columns)
    return g.normal(size=(n_rows, n_columns)) * lengths @ turn + g.normal(size=n_columns)


@pytest.mark.parametrize("shape", [(200, 30), (25, 60), (40, 3), (300, 2)])
def test_coordinates_are_those_of_a_singular_value_decomposition(shape):
    rows = cloud(*shape)
    axes = principal_axes(rows)
    left, lengths, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * lengths[:2]
    found = axes.coordinates(rows)
    signs = np.sign((expected * found).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-6 * lengths[0])
    np.testing.assert_allclose(axes.shares, lengths[:2] ** 2 / (lengths**2).sum(), rtol=1e-6)


def test_directions_are_orthonormal_and_have_a_sign():
    directions = principal_axes(cloud(100, 12)).directions
    np.testing.assert_allclose(directions.T @ directions, np.eye(2), atol=1e-12)
    assert (directions[np.abs(directions).argmax(axis=0), [0, 1]] > 0).all()


def test_sign_does_not_hang_on_the_order_of_the_rows():
    rows = cloud(60, 8)
    one, other = principal_axes(rows), principal_axes(rows[::-1])
    np.testing.assert_allclose(one.directions, other.directions, atol=1e-9)


def test_rows_along_a_line_have_no_second_coordinate():
    rows = np.outer(np.arange(5.0), [3.0, 4.0, 0.0])
    axes = principal_axes(rows)
    np.testing.assert_allclose(axes.coordinates(rows)[:, 0], 5.0 * (np.arange(5.0) - 2.0))
    np.testing.assert_array_equal(axes.coordinates(rows)[:, 1], 0.0)
    np.testing.assert_allclose(axes.shares, [1.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 4), (6, 1), (3, 3)])
def test_rows_that_are_all_alike_are_in_the_middle(shape):
    rows = np.full(shape, 7.0)
    axes = principal_axes(rows)
    np.testing.assert_array_equal(axes.coordinates(rows), 0.0)
    assert np.isnan(axes.shares).all()
