from __future__ import annotations

import numpy as np
import pytest
from problems import decaying, factor_of, low_rank

from prcli.errors import RankError
from prcli.numerics.regularizer import auto_regularizer
from prcli.numerics.square_root import with_prior


def stacked_condition(data, prior_root, regularizer):
    """Condition number of [data; ς F] by an SVD of the stack."""
    F = np.diag(prior_root) if prior_root.ndim == 1 else prior_root
    singular = np.linalg.svd(np.concatenate([data, np.sqrt(regularizer) * F]), compute_uv=False)
    return singular[0] / singular[-1]


def steep_prior():
    """Data and a prior whose condition number falls, then rises, as ς² grows."""
    return np.diag([1.0, 1e-9, 1e-3]), np.array([1e5, 1.0, 0.0])


CASES = {
    "decaying": lambda g: (decaying(g, 30, 12, decades=16), np.ones(12)),
    "low-rank": lambda g: (low_rank(g, 30, 12), np.ones(12)),
    "few-rows": lambda g: (g.normal(size=(3, 12)), np.ones(12)),
    "diagonal": lambda g: (decaying(g, 30, 12, decades=16), g.uniform(0.2, 5.0, 12)),
    "all-twos": lambda g: (g.normal(size=(3, 12)), np.full(12, 2.0)),
    "intercept": lambda g: (
        np.hstack([decaying(g, 30, 11, decades=16), np.ones((30, 1))]),
        np.append(np.ones(11), 0.0),
    ),
    "triangular": lambda g: (
        low_rank(g, 30, 12),
        np.triu(g.normal(size=(12, 12))) + 4 * np.eye(12),
    ),
    "steep": lambda g: steep_prior(),
}


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("name", CASES)
def test_auto_is_the_smallest_that_conditions_the_factor(name, scale):
    rows, root = CASES[name](np.random.default_rng(1))
    factor = scale * factor_of(rows)
    found = auto_regularizer(factor, root)
    assert stacked_condition(factor, root, found) <= 1e6 * (1.0 + 1e-6)
    largest = np.linalg.svd(factor, compute_uv=False)[0]
    for smaller in np.geomspace(1e-16 * largest**2, 0.999 * found, 60):
        assert stacked_condition(factor, root, smaller) > 1e6


@pytest.mark.parametrize("root", [np.ones(5), np.array([1.0, 2.0, 1.0, 1.0, 0.0])])
def test_auto_never_falls_below_its_floor(root):
    factor = np.diag([3.0, 2.0, 1.0, 1.0, 0.5])
    assert auto_regularizer(factor, root) == pytest.approx(9e-16, rel=1e-12)


def test_auto_makes_a_rank_deficient_set_usable():
    rows = low_rank(np.random.default_rng(2), 20, 8)
    factor = factor_of(rows)
    with_prior(factor, np.ones(8), auto_regularizer(factor, np.ones(8)))


def test_identity_agrees_with_the_search():
    rows = low_rank(np.random.default_rng(3), 20, 8)
    twice = auto_regularizer(factor_of(rows), np.full(8, 2.0))
    assert 4.0 * twice == pytest.approx(auto_regularizer(factor_of(rows), np.ones(8)), rel=1e-5)


def test_auto_refuses_what_no_regularizer_helps():
    rows = np.random.default_rng(4).normal(size=(20, 4))
    rows[:, 3] = 0.0
    with pytest.raises(RankError, match="no regularizer"):
        auto_regularizer(factor_of(rows), np.array([1.0, 1.0, 1.0, 0.0]))


def test_auto_refuses_an_intercept_that_is_hardly_determined():
    with pytest.raises(RankError, match="leave the intercept out"):
        auto_regularizer(np.diag([1.0, 1.0, 1e-8]), np.array([1.0, 1.0, 0.0]))


def test_nothing_to_learn_from_is_refused_in_the_end():
    factor = np.zeros((3, 3))
    with pytest.raises(RankError, match="rank 0 of 3"):
        with_prior(factor, np.ones(3), auto_regularizer(factor, np.ones(3)))
