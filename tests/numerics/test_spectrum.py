from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import exact_inverse_rigidities
from problems import KINDS, decaying, factor_of, low_rank, make_problem, spread_columns, steep

from prcli.errors import RankError, RequestError
from prcli.numerics.rigidity import inverse_rigidities, prior_shares, whiten
from prcli.numerics.spectrum import decompose, usual_range
from prcli.numerics.square_root import balanced_condition, with_prior

DECADES = 10.0 ** np.arange(-13, 4)
MIDDLE = 1e-5


def triangular(generator, n_columns):
    """Root of a full prior that is singular."""
    root = np.triu(generator.normal(size=(n_columns, n_columns))) + 3.0 * np.eye(n_columns)
    root[-1] = 0.0
    return root


PRIORS = {
    "identity": lambda g, n: np.ones(n),
    "diagonal": lambda g, n: g.uniform(0.2, 5.0, n),
    "intercept": lambda g, n: np.append(np.ones(n - 1), 0.0),
    "full, singular": triangular,
}


# Fresh rigidities, of rows by triangular solves, are themselves wrong by up to 1e-9 at 1e-13.
@pytest.mark.parametrize(
    ("kind", "prior"),
    [
        *product(("normal", "decaying", "steep", "spread"), PRIORS),
        *product(("low-rank", "few-rows"), ("identity", "diagonal")),
    ],
)
def test_scan_equals_extended_precision(kind, prior):
    problem = make_problem(kind, 1.0, 3, n_columns=6, n_rows=11)
    root = PRIORS[prior](np.random.default_rng(4), 6)
    spectrum = decompose(factor_of(problem.rows), root, MIDDLE)
    found = spectrum.inverse_rigidities(problem.targets, DECADES)
    for k, regularizer in enumerate(DECADES):
        exact = exact_inverse_rigidities(problem.rows, problem.targets, regularizer, root)
        np.testing.assert_allclose(found[:, k], exact, rtol=1e-9)


@pytest.mark.parametrize("prior", PRIORS)
def test_shares_of_the_prior_are_those_of_fresh_factorizations(prior):
    g = np.random.default_rng(6)
    rows, targets = decaying(g, 90, 40), decaying(g, 30, 40)
    targets[0] = 0.0
    data, root = factor_of(rows), PRIORS[prior](g, 40)
    spectrum = decompose(data, root, MIDDLE)
    inverse, shares = spectrum.inverse_and_shares(targets, DECADES)
    np.testing.assert_array_equal(inverse, spectrum.inverse_rigidities(targets, DECADES))
    for k, regularizer in enumerate(DECADES):
        factor = with_prior(data, root, regularizer)
        fresh = prior_shares(whiten(targets, factor), factor, root, regularizer)
        np.testing.assert_allclose(shares[:, k], fresh, rtol=1e-6, atol=1e-12)
    assert not shares[0].any()
    assert shares[:, -1].max() > 0.5


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("draw", [decaying, steep, spread_columns], ids=lambda f: f.__name__)
def test_scan_equals_fresh_factorizations(draw, prior):
    g = np.random.default_rng(5)
    rows, targets = draw(g, 90, 40), draw(g, 30, 40)
    data, root = factor_of(rows), PRIORS[prior](g, 40)
    found = decompose(data, root, MIDDLE).inverse_rigidities(targets, DECADES)
    for k, regularizer in enumerate(DECADES):
        factor = with_prior(data, root, regularizer)
        # Above a condition number of 1e7 fresh factorizations are no better.
        rtol = 1e-9 * max(1.0, balanced_condition(factor) / 1e7)
        fresh = inverse_rigidities(targets, factor)
        np.testing.assert_allclose(found[:, k], fresh, rtol=rtol, err_msg=str(regularizer))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KINDS), st.integers(0, 2**31 - 1), st.floats(-13, 3), st.floats(-6, 0))
def test_any_problem_any_reference(kind, seed, exponent, reference):
    problem = make_problem(kind, 10.0**exponent, seed)
    root = np.ones(problem.rows.shape[1])
    data = factor_of(problem.rows)
    found = decompose(data, root, 10.0**reference).inverse_rigidities(
        problem.targets, problem.regularizer
    )
    fresh = inverse_rigidities(problem.targets, with_prior(data, root, problem.regularizer))
    # Rounding is amplified by the distance from the reference, and by cond(R) in both.
    singular = np.linalg.svd(data, compute_uv=False)[0]
    condition = 1.0 + singular / np.sqrt(problem.regularizer)
    amplified = 10.0 ** (0.5 * abs(exponent - reference))
    np.testing.assert_allclose(found[:, 0], fresh, rtol=1e-14 * (amplified + condition) + 1e-12)


def test_reference_does_not_matter_where_it_is_near():
    g = np.random.default_rng(6)
    data, targets = factor_of(decaying(g, 30, 10)), decaying(g, 5, 10)
    one, other = (
        decompose(data, np.ones(10), reference).inverse_rigidities(targets, DECADES)
        for reference in (1e-3, 1e-7)
    )
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_rows_of_zeros_have_no_variance():
    spectrum = decompose(np.eye(3), np.ones(3), 1.0)
    found = spectrum.inverse_rigidities(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), [1.0, 3.0])
    np.testing.assert_allclose(found, [[0.0, 0.0], [0.5, 0.25]], rtol=1e-14)


def test_rows_are_left_alone_unless_said_otherwise():
    rows = np.random.default_rng(7).normal(size=(4, 3))
    kept = rows.copy()
    decompose(np.eye(3), np.ones(3), 1.0).inverse_rigidities(rows, 1.0)
    assert np.array_equal(rows, kept)


def test_inputs_are_left_alone():
    data, root = factor_of(np.random.default_rng(8).normal(size=(9, 4))), np.ones(4)
    kept = data.copy()
    decompose(data, root, 1e-3)
    assert np.array_equal(data, kept)
    assert np.array_equal(root, np.ones(4))


@pytest.mark.parametrize("prior", PRIORS)
def test_effective_parameters_are_the_sum_of_leverages(prior):
    g = np.random.default_rng(9)
    rows, root = decaying(g, 30, 8, decades=6), PRIORS[prior](g, 8)
    data = factor_of(rows)
    regularizers = 10.0 ** np.arange(-8.0, 3.0)
    found = decompose(data, root, 1e-3).effective_parameters(regularizers)
    for k, regularizer in enumerate(regularizers):
        leverages = inverse_rigidities(rows, with_prior(data, root, regularizer))
        assert found[k] == pytest.approx(leverages.sum(), rel=1e-9)


def test_effective_parameters_fall_from_the_rank_to_the_free_columns():
    g = np.random.default_rng(10)
    data = factor_of(low_rank(g, 30, 8))
    ends = decompose(data, np.ones(8), 1.0).effective_parameters([1e-12, 1e12])
    np.testing.assert_allclose(ends, [4.0, 0.0], atol=1e-9)
    data = factor_of(np.hstack([g.normal(size=(30, 5)), np.ones((30, 1))]))
    ends = decompose(data, np.append(np.ones(5), 0.0), 1.0).effective_parameters([1e-12, 1e12])
    np.testing.assert_allclose(ends, [6.0, 1.0], atol=1e-9)


@pytest.mark.parametrize(("n_rows", "rank"), [(0, 5), (20, 5)])
def test_free_direction_is_refused_with_the_rank(n_rows, rank):
    rows = np.random.default_rng(11).normal(size=(n_rows, 6))
    rows[:, 5] = 0.0
    root = np.append(np.ones(5), 0.0)
    with pytest.raises(RankError, match=f"rank {rank} of 6"):
        decompose(factor_of(rows), root, 1e-5)


def test_no_prior_and_few_rows_are_refused():
    rows = np.random.default_rng(12).normal(size=(3, 5))
    with pytest.raises(RankError, match="rank 3 of 5"):
        decompose(factor_of(rows), np.zeros(5), 1e-5)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e4])
def test_usual_range_follows_data_and_prior(factor):
    data = np.diag([3.0, 1.0])
    assert usual_range(factor * data, np.ones(2)) == pytest.approx(
        (9e-16 * factor**2, 9e2 * factor**2)
    )
    assert usual_range(data, factor * np.array([0.5, 1.0])) == pytest.approx(
        (9e-16 / factor**2, 9e2 / factor**2)
    )
    assert usual_range(data, factor * np.diag([0.5, 1.0])) == usual_range(
        data, factor * np.array([0.5, 1.0])
    )


@pytest.mark.parametrize(
    ("data", "root", "zero"),
    [(np.zeros((2, 2)), np.ones(2), "all training rows"), (np.eye(2), np.zeros(2), "the prior")],
)
def test_usual_range_needs_both(data, root, zero):
    with pytest.raises(RequestError, match=f"{zero} (are|is) zero"):
        usual_range(data, root)
