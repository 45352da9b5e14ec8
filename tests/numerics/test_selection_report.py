from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from oracles import ExactSelection, known, resolution_of
from problems import OBJECTIVE_NAMES, Problem, indices, make_problem, posterior_of, problems, select

from prcli.numerics.baselines import FixedOrder
from prcli.numerics.greedy import normalized, run_selection
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.pickers import ListPicker
from prcli.numerics.posterior import TargetFrame
from prcli.numerics.row_source import ArrayRows

WITH_TARGETS = [name for name in OBJECTIVE_NAMES if OBJECTIVES[name].needs_targets]


@settings(deadline=None, max_examples=40)
@given(problem=problems())
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_reports_are_consistent(objective, problem):
    result = select(problem, objective, 6)
    weights = normalized(None, len(problem.targets))
    resolution = resolution_of(objective, result.v_before, weights)
    assert len(set(indices(result))) == 6
    assert result.drift < 1e-8
    assert np.all(result.v_after <= result.v_before * (1.0 + 1e-8))
    value = result.objective_before
    for pick in result.picks:
        assert pick.gain >= 0.0
        noise = 1e-8 * max(abs(value), abs(pick.objective)) + resolution + 1e-8
        assert pick.objective - value == pytest.approx(pick.gain, rel=1e-7, abs=noise)
        assert pick.objective >= value - noise
        assert np.isnan(pick.margin) or 0.0 <= pick.margin <= 1.0
        value = pick.objective


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("regularizer", [1e-2, 1e-8, 1e-13])
@pytest.mark.parametrize("kind", ["normal", "steep", "targets-in-pool", "duplicates"])
def test_reported_gains_are_exact(kind, regularizer, objective):
    problem = make_problem(kind, regularizer, 17)
    result = select(problem, objective, 5)
    exact = ExactSelection(problem.rows, problem.targets, problem.pool, regularizer)
    for pick in result.picks:
        v, gain = exact.inverse_rigidities(), known(exact.gains(objective)[pick.index])
        noise = resolution_of(objective, v, normalized(None, len(v)))
        assert pick.gain == pytest.approx(gain, rel=1e-6, abs=noise)
        exact.add(pick.index)
    np.testing.assert_allclose(result.v_after, exact.inverse_rigidities(), rtol=1e-9)


@pytest.mark.parametrize("objective", WITH_TARGETS)
def test_rigidities_never_fall_along_the_picks(objective):
    problem = make_problem("targets-in-pool", 1e-11, 18)
    result = select(problem, objective, 10)
    for name in ("pr_min", "pr_max", "pr_mean"):
        series = np.array([getattr(pick, name) for pick in result.picks])
        assert np.all(series[1:] >= series[:-1] * (1.0 - 1e-10))
    assert all(p.pr_min <= p.pr_mean <= p.pr_max for p in result.picks)
    np.testing.assert_allclose(1.0 / result.v_after.max(), result.picks[-1].pr_min, rtol=1e-9)


def test_margin_is_the_lead_over_the_runner_up():
    problem = Problem(np.eye(3), np.eye(3), np.diag([1.0, 2.0, 3.0]), 1e-9)
    result = select(problem, "log-det", 3)
    gains = np.log1p(np.array([9.0, 4.0, 1.0]))
    assert indices(result) == [2, 1, 0]
    assert result.picks[0].margin == pytest.approx(1.0 - gains[1] / gains[0], rel=1e-6)
    assert result.picks[1].margin == pytest.approx(1.0 - gains[2] / gains[1], rel=1e-6)
    assert np.isnan(result.picks[2].margin)


def test_margin_of_a_tie_is_zero():
    problem = Problem(np.eye(2), np.eye(2), np.ones((2, 2)), 1e-5)
    assert select(problem, "mean-pr", 1).picks[0].margin == 0.0


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_stop_gain_stops_before_a_poor_pick(objective):
    problem = make_problem("normal", 1e-5, 19)
    full = select(problem, objective, 14)
    gains = np.array([pick.gain for pick in full.picks])
    share = 0.3
    result = select(problem, objective, 14, stop_gain=share)
    expected = int(np.flatnonzero(gains < share * gains[0])[0])
    assert indices(result) == indices(full)[:expected]
    assert result.stopped == "stop_gain"
    assert full.stopped == "n_to_select"


@pytest.mark.parametrize("objective", WITH_TARGETS)
def test_stop_pr_stops_once_the_least_rigid_target_is_above(objective):
    problem = make_problem("normal", 1e-5, 20)
    full = select(problem, objective, 14)
    lowest = [pick.pr_min for pick in full.picks]
    result = select(problem, objective, 14, stop_pr=lowest[3] * 0.999)
    stop = next(i for i, pr in enumerate(lowest) if pr > lowest[3] * 0.999)
    assert indices(result) == indices(full)[: stop + 1]
    assert result.stopped == "stop_pr"


def test_every_pick_is_told():
    told = []
    problem = make_problem("normal", 1e-5, 21)
    result = select(problem, "mean-pr", 4, on_pick=lambda n, pick: told.append((n, pick)))
    assert told == list(enumerate(result.picks, start=1))


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_given_order_is_kept_and_its_gains_are_those_of_the_objective(objective):
    problem = make_problem("normal", 1e-5, 22)
    order = np.array([7, 2, 11, 0])
    state = posterior_of(problem)
    frame = TargetFrame(state, problem.targets)
    weights = normalized(None, len(problem.targets))
    picker = ListPicker(
        FixedOrder(order), ArrayRows(problem.pool), frame, OBJECTIVES[objective], weights
    )
    result = run_selection(picker, frame, OBJECTIVES[objective], weights, 4)
    exact = ExactSelection(problem.rows, problem.targets, problem.pool, 1e-5)
    assert indices(result) == order.tolist()
    for pick in result.picks:
        gain = known(exact.gains(objective)[pick.index])
        assert pick.gain == pytest.approx(gain, rel=1e-10, abs=1e-13)
        exact.add(pick.index)
