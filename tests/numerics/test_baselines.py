from __future__ import annotations

import numpy as np
import pytest
from problems import decaying

from prcli.numerics.baselines import leverage_order, random_order
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
    leverage_order(source(rows), allowed, np.ones(5), 1e-5, 3)
    assert np.array_equal(rows, kept)
