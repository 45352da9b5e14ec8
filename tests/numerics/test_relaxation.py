"""Bounds on what any selection gains, against all selections of small pools."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from block_problems import block_posterior, block_source, make_blocks
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import make_problem, posterior_of

from prcli.numerics.block_source import ArrayBlocks
from prcli.numerics.capped_weights import Capacity, maximize
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.relaxation import TOLERANCE, Relaxation, has_bound

NAMES = ("mean-pr", "mean-log-pr", "mean-variance", "log-det")


def value_of(objective, rows, targets, regularizer):
    """Objective of a training set, by dense linear algebra."""
    H = rows.T @ rows + regularizer * np.eye(rows.shape[1])
    if objective == "log-det":
        return np.linalg.slogdet(H)[1]
    v = np.einsum("ti,it->t", targets, np.linalg.solve(H, targets.T))
    return {
        "mean-pr": np.mean(1.0 / v),
        "mean-log-pr": -np.mean(np.log(v)),
        "mean-variance": -np.mean(v),
    }[objective]


def best_gain(objective, problem, blocks, costs, total):
    """Largest gain of all selections within a total cost."""
    start = value_of(objective, problem.rows, problem.targets, problem.regularizer)
    best = 0.0
    for n in range(1, len(blocks) + 1):
        for chosen in itertools.combinations(range(len(blocks)), n):
            if costs[list(chosen)].sum() <= total:
                rows = np.concatenate([problem.rows, *(blocks[c] for c in chosen)])
                value = value_of(objective, rows, problem.targets, problem.regularizer)
                best = max(best, value - start)
    return best


def bound_of(objective, problem, costs, total, *, blocks=False):
    n_targets = len(problem.targets)
    pool = block_source(problem) if blocks else ArrayBlocks(problem.pool, [1] * len(problem.pool))
    state = block_posterior(problem) if blocks else posterior_of(problem)
    relaxation = Relaxation(
        state,
        problem.targets,
        np.full(n_targets, 1.0 / n_targets),
        pool,
        OBJECTIVES[objective],
    )
    closed = np.zeros(pool.n_blocks, dtype=bool)
    return relaxation.bound(Capacity(costs, total), closed, ())


@pytest.mark.parametrize("objective", NAMES)
@pytest.mark.parametrize("kind", ["normal", "decaying", "few-rows", "duplicates"])
def test_no_selection_of_so_many_gains_more(kind, objective):
    for seed in range(3):
        problem = make_problem(kind, 1e-2, seed, n_candidates=9)
        bound = bound_of(objective, problem, np.ones(9), 3.0)
        best = best_gain(
            objective, problem, [row[np.newaxis] for row in problem.pool], np.ones(9), 3
        )
        assert best <= bound.gain * (1.0 + 1e-9)
        assert bound.relaxed <= bound.gain * (1.0 + 1e-9)
        assert bound.gain - bound.relaxed <= TOLERANCE * bound.gain


@pytest.mark.parametrize("objective", NAMES)
def test_no_selection_within_a_budget_gains_more(objective):
    for seed in range(3):
        problem = make_problem("normal", 1e-2, 10 + seed, n_candidates=9)
        costs = np.random.default_rng(seed).integers(1, 9, 9).astype(float)
        bound = bound_of(objective, problem, costs, 12.0)
        best = best_gain(objective, problem, problem.pool[:, np.newaxis], costs, 12.0)
        assert 0.5 * bound.gain < best <= bound.gain * (1.0 + 1e-9)


@pytest.mark.parametrize("objective", NAMES)
@pytest.mark.parametrize("kind", ["normal", "equal-blocks", "rows-of-all-sizes"])
def test_no_selection_of_blocks_gains_more(kind, objective):
    problem = make_blocks(kind, 1e-1, 4, heights=[0, 1, 2, 3, 8, 2, 1])
    bound = bound_of(objective, problem, np.ones(7), 3.0, blocks=True)
    best = best_gain(objective, problem, problem.pool, np.ones(7), 3.0)
    assert best <= bound.gain * (1.0 + 1e-6)
    assert best >= 0.2 * bound.gain


@pytest.mark.parametrize("objective", NAMES)
def test_bound_is_the_gain_itself_where_everything_fits(objective):
    problem = make_problem("normal", 1e-2, 5, n_candidates=6)
    bound = bound_of(objective, problem, np.ones(6), 6.0)
    rows = np.concatenate([problem.rows, problem.pool])
    values = [value_of(objective, r, problem.targets, 1e-2) for r in (problem.rows, rows)]
    assert bound.gain == pytest.approx(values[1] - values[0], rel=2 * TOLERANCE)
    assert bound.gain >= (values[1] - values[0]) * (1.0 - 1e-9)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1000),
    objective=st.sampled_from(NAMES),
    n_columns=st.integers(1, 6),
)
def test_slopes_are_derivatives_and_bound_from_any_weights(seed, objective, n_columns):
    problem = make_problem("normal", 1e-1, seed, n_columns=n_columns, n_candidates=7)
    generator = np.random.default_rng(seed)
    members, weights = np.array([1, 4, 6]), generator.uniform(0.1, 1.0, 3)
    pool = ArrayBlocks(problem.pool, [1, 2, 0, 1, 1, 1, 1])
    n_targets = len(problem.targets)
    relaxation = Relaxation(
        posterior_of(problem),
        problem.targets,
        np.full(n_targets, 1.0 / n_targets),
        pool,
        OBJECTIVES[objective],
    )
    gain, slopes = relaxation.slopes(members, weights)
    assert slopes[2] == 0.0
    step = 1e-5
    for place, member in enumerate(members):
        gains = []
        for sign in (1.0, -1.0):
            moved = weights.copy()
            moved[place] += sign * step
            gains.append(relaxation.slopes(members, moved)[0])
        assert slopes[member] == pytest.approx(
            (gains[0] - gains[1]) / (2 * step), rel=1e-4, abs=1e-9
        )
    # A concave function lies below its tangents.
    other = generator.uniform(0.0, 1.0, 7)
    reached = relaxation.slopes(np.arange(7), other)[0]
    here = np.zeros(7)
    here[members] = weights
    assert reached <= gain + slopes @ (other - here) + 1e-9 * abs(gain)


def test_the_least_rigidity_has_no_such_bound():
    assert not has_bound(OBJECTIVES["min-pr"])
    problem = make_problem("normal", 1e-2, 0)
    with pytest.raises(ValueError, match="no slopes"):
        bound_of("min-pr", problem, np.ones(len(problem.pool)), 2.0)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1000), n=st.integers(1, 6), total=st.floats(0.2, 8.0))
def test_projection_is_the_nearest_allowed_point(seed, n, total):
    generator = np.random.default_rng(seed)
    capacity = Capacity(generator.uniform(0.5, 3.0, n), total)
    values = generator.normal(scale=2.0, size=n)
    weights = capacity.project(values)
    assert ((weights >= 0.0) & (weights <= 1.0)).all()
    assert weights @ capacity.prices <= total * (1.0 + 1e-12)
    for _ in range(20):
        other = generator.uniform(0.0, 1.0, n)
        other *= min(1.0, total / (other @ capacity.prices))
        # The angle at the nearest point of a convex set is not acute.
        assert (values - weights) @ (other - weights) <= 1e-9


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1000), n=st.integers(1, 7), total=st.floats(0.2, 8.0))
def test_filling_equals_a_linear_program(seed, n, total):
    from scipy.optimize import linprog

    generator = np.random.default_rng(seed)
    prices, slopes = generator.uniform(0.5, 3.0, n), generator.normal(size=n)
    filled, value = Capacity(prices, total).fill(slopes)
    best = linprog(-slopes, A_ub=prices[np.newaxis], b_ub=[total], bounds=(0.0, 1.0))
    assert value == pytest.approx(-best.fun, rel=1e-9, abs=1e-12)
    assert (slopes[filled] > 0.0).all()


def test_maximum_of_a_quadratic_is_found():
    generator = np.random.default_rng(3)
    factor = generator.normal(size=(6, 6))
    wanted = np.array([0.3, 2.0, -1.0, 0.5, 0.9, 0.1])

    def evaluate(weights):
        rest = factor @ (weights - wanted)
        return -float(rest @ rest), -2.0 * factor.T @ rest

    capacity = Capacity(np.ones(6), 2.0)
    weights = maximize(evaluate, capacity, np.zeros(6), 1e-10)
    value, slopes = evaluate(weights)
    assert capacity.fill(slopes)[1] - slopes @ weights <= 1e-10
    assert weights.sum() <= 2.0 + 1e-12
