from __future__ import annotations

import numpy as np
import pytest
from oracles import ExactSelection
from problems import decaying, factor_of, make_problem, posterior_of

from prcli.errors import FeatureError
from prcli.numerics import posterior as module
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.numerics.rigidity import squared_norms, whiten


def test_posterior_leaves_the_training_factor_alone():
    data = factor_of(np.random.default_rng(2).normal(size=(6, 4)))
    kept = data.copy()
    state = Posterior(data, np.ones(4), 1e-3)
    state.add(np.ones((2, 4)))
    state.factor_with(np.ones((1, 4)))
    assert np.array_equal(data, kept)


def test_posterior_adds_rows_to_the_hessian():
    g = np.random.default_rng(3)
    rows, picks = g.normal(size=(6, 4)), g.normal(size=(2, 4))
    state = Posterior(factor_of(rows), np.ones(4), 1e-3)
    state.factor()
    state.add(picks)
    R = state.factor()
    expected = rows.T @ rows + picks.T @ picks + 1e-3 * np.eye(4)
    np.testing.assert_allclose(R.T @ R, expected, rtol=1e-12, atol=1e-12)


def test_trial_factor_is_the_one_after_adding():
    g = np.random.default_rng(4)
    rows, pick = g.normal(size=(6, 4)), g.normal(size=(1, 4))
    state = Posterior(factor_of(rows), np.ones(4), 1e-3)
    before, trial = state.factor().copy(), state.factor_with(pick)
    assert np.array_equal(state.factor(), before)
    state.add(pick)
    np.testing.assert_allclose(trial, state.factor(), atol=1e-14)


@pytest.mark.parametrize(("factor", "size"), [(1e80, "large"), (1e200, "large"), (1e-200, "small")])
def test_targets_of_rigidities_out_of_range_are_refused(factor, size):
    problem = make_problem("normal", 1e-2, 5)
    targets = problem.targets.copy()
    targets[0] = 0.0
    TargetFrame(posterior_of(problem), targets)
    targets[2] *= factor
    with pytest.raises(FeatureError, match=f"so {size} that its rigidity") as caught:
        TargetFrame(posterior_of(problem), targets)
    assert str(caught.value.where).startswith("target 2 ")


@pytest.mark.parametrize("n_targets", [0, 1, 5])
@pytest.mark.parametrize("regularizer", [1e-2, 1e-8, 1e-13])
@pytest.mark.parametrize("kind", ["normal", "decaying", "targets-in-pool"])
def test_variances_follow_the_picks(kind, regularizer, n_targets):
    problem = make_problem(kind, regularizer, 5, n_targets=5)
    targets = problem.targets[:n_targets]
    frame = TargetFrame(posterior_of(problem), targets.copy())
    exact = ExactSelection(problem.rows, targets, problem.pool, regularizer)
    for index, row in enumerate(problem.pool):
        frame.add(row[np.newaxis], *frame.steps_of(row[np.newaxis]))
        exact.add(index)
        np.testing.assert_allclose(frame.v, exact.inverse_rigidities(), rtol=1e-9)
        np.testing.assert_allclose(frame.v, frame.fresh_variances(), rtol=1e-9)


def test_coordinates_of_other_rows_give_posterior_covariances():
    problem = make_problem("normal", 1e-3, 6)
    state = posterior_of(problem)
    frame = TargetFrame(state, problem.targets)
    for row in problem.pool[:4]:
        frame.add(row[np.newaxis], *frame.steps_of(row[np.newaxis]))
    factor = state.factor()
    expected = whiten(problem.pool, factor) @ whiten(problem.targets, factor).T
    steps = frame.steps_of(problem.pool)
    np.testing.assert_allclose([step.covariances for step in steps], expected, atol=1e-13)
    one_by_one = [frame.steps_of(row[np.newaxis])[0] for row in problem.pool]
    np.testing.assert_allclose([step.covariances for step in one_by_one], expected, atol=1e-13)
    fresh = squared_norms(whiten(problem.pool, frame.factor))
    np.testing.assert_allclose([step.q_fresh for step in steps], fresh, rtol=1e-13)


def test_rows_that_picks_have_resolved_ask_for_a_fresh_whitening():
    g = np.random.default_rng(7)
    row = g.normal(size=6)
    state = Posterior(factor_of(g.normal(size=(2, 6))), np.ones(6), 1e-13)
    frame = TargetFrame(state, np.zeros((0, 6)))
    frame.add(row[np.newaxis], *frame.steps_of(row[np.newaxis]))
    [step] = frame.steps_of(row[np.newaxis])
    assert step.q == step.q_fresh
    assert step.q == pytest.approx(1.0, rel=1e-11)


def test_long_chains_are_cut(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_CHAIN", 4)
    problem = make_problem("normal", 1e-2, 8)
    frame = TargetFrame(posterior_of(problem), problem.targets)
    for row in problem.pool:
        frame.add(row[np.newaxis], *frame.steps_of(row[np.newaxis]))
        np.testing.assert_allclose(frame.v, frame.fresh_variances(), rtol=1e-12)


def test_step_of_an_earlier_whitening_is_refused():
    problem = make_problem("normal", 1e-2, 8)
    frame = TargetFrame(posterior_of(problem), problem.targets)
    row = problem.pool[:1]
    frame.add(row, *frame.steps_of(row))
    [step] = frame.steps_of(row)
    frame.refresh()
    with pytest.raises(ValueError, match="whitened since"):
        frame.add(row, step)


def test_exact_variances_are_those_after_adding():
    g = np.random.default_rng(9)
    problem = make_problem("decaying", 1e-11, 9)
    frame = TargetFrame(posterior_of(problem), problem.targets)
    row = decaying(g, 1, 6)[0]
    exact = ExactSelection(problem.rows, problem.targets, row[np.newaxis], 1e-11)
    exact.add(0)
    np.testing.assert_allclose(
        frame.exact_variances(row[np.newaxis]), exact.inverse_rigidities(), rtol=1e-9
    )
