from __future__ import annotations

import numpy as np
import pytest
from problems import decaying

from prcli.numerics.baselines import farthest_point_order, leverage_order, random_order
from prcli.numerics.row_source import ArrayRows


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(40, 5))


@pytest.fixture
def allowed():
    return np.random.default_rng(1).random(40) < 0.6


def source(rows):
    return ArrayRows(rows, block_rows=7)


def test_random_draws_allowed_ones_once():
    order = random_order(np.array([3, 5, 8, 13]), 4, seed=0)
    assert sorted(order.tolist()) == [3, 5, 8, 13]


def test_random_depends_on_the_seed_only():
    pool = np.arange(1000)
    assert np.array_equal(random_order(pool, 20, 7), random_order(pool, 20, 7))
    assert not np.array_equal(random_order(pool, 20, 7), random_order(pool, 20, 8))


def test_random_is_uniform_in_every_place():
    draws = np.array([random_order(np.arange(5), 3, seed) for seed in range(3000)])
    for place in draws.T:
        assert np.all(np.abs(np.bincount(place, minlength=5) - 600) < 6 * np.sqrt(480))


def brute_farthest(rows, allowed, n_to_select):
    candidates = np.flatnonzero(allowed)
    mean = rows[candidates].mean(axis=0)
    order = [max(candidates, key=lambda c: (np.sum((rows[c] - mean) ** 2), -c))]
    while len(order) < n_to_select:
        rest = [c for c in candidates if c not in order]
        nearest = {c: min(np.sum((rows[c] - rows[o]) ** 2) for o in order) for c in rest}
        order.append(max(rest, key=lambda c: (nearest[c], -c)))
    return order


def test_farthest_points_equal_brute_force(rows, allowed):
    n = int(allowed.sum())
    assert farthest_point_order(source(rows), allowed, n).tolist() == brute_farthest(
        rows, allowed, n
    )


def test_farthest_points_equal_those_of_scikit_matter(rows):
    selection = pytest.importorskip("skmatter.sample_selection")
    order = farthest_point_order(source(rows), np.ones(40, dtype=bool), 15)
    theirs = selection.FPS(n_to_select=15, initialize=int(order[0])).fit(rows)
    assert order.tolist() == theirs.selected_idx_.tolist()


def test_farthest_points_of_duplicates_are_all_different(rows):
    rows[20:] = rows[:20]
    order = farthest_point_order(source(rows), np.ones(40, dtype=bool), 40)
    assert sorted(order.tolist()) == list(range(40))
    assert set((order[:20] % 20).tolist()) == set(range(20))


def test_farthest_points_of_equal_rows_go_by_position():
    order = farthest_point_order(source(np.ones((6, 3))), np.arange(6) != 2, 5)
    assert order.tolist() == [0, 1, 3, 4, 5]


def test_farthest_points_do_not_see_a_common_shift(rows):
    allowed = np.ones(40, dtype=bool)
    near = np.round(rows * 1e4) / 2**20
    order = farthest_point_order(source(near), allowed, 40)
    assert np.array_equal(farthest_point_order(source(near + 2.0**20), allowed, 40), order)


@pytest.mark.parametrize("regularizer", [1e-2, 1e-8])
def test_leverage_is_that_of_the_allowed_pool(allowed, regularizer):
    rows = decaying(np.random.default_rng(2), 40, 5, decades=3)
    G = rows[allowed]
    inverse = np.linalg.inv(G.T @ G + regularizer * np.eye(5))
    scores = np.einsum("ci,ij,cj->c", rows, inverse, rows)
    expected = [c for c in np.argsort(-scores) if allowed[c]]
    order = leverage_order(source(rows), allowed, np.ones(5), regularizer, len(expected))
    assert order.tolist() == expected


def test_leverage_uses_the_prior():
    rows = np.diag([1.0, 1.0, 1.0])
    order = leverage_order(source(rows), np.ones(3, dtype=bool), np.array([3.0, 1.0, 2.0]), 1.0, 3)
    assert order.tolist() == [1, 2, 0]


def test_leverage_puts_equal_rows_in_order_of_position():
    rows = np.ones((6, 2)) * np.array([1.0, 0.5])
    order = leverage_order(source(rows), np.ones(6, dtype=bool), np.ones(2), 1e-3, 4)
    assert order.tolist() == [0, 1, 2, 3]


def test_leverage_skips_the_forbidden_however_high():
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [1e6, 1e6]])
    order = leverage_order(source(rows), np.array([True, True, False]), np.ones(2), 1e-3, 2)
    assert order.tolist() == [0, 1]


def test_baselines_leave_the_rows_alone(rows, allowed):
    kept = rows.copy()
    farthest_point_order(source(rows), allowed, 3)
    leverage_order(source(rows), allowed, np.ones(5), 1e-5, 3)
    assert np.array_equal(rows, kept)
