from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import (
    KINDS,
    OBJECTIVE_NAMES,
    REGULARIZERS,
    ExactSelection,
    Problem,
    brute_picks,
    complaints,
    indices,
    known,
    make_problem,
    posterior_of,
    resolution_of,
    select,
)

from prcli.numerics import candidates, greedy, screens
from prcli.numerics.greedy import GreedyPicker, ListPicker, normalized, run_selection
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.passes import compiled_pass
from prcli.numerics.posterior import TargetFrame
from prcli.numerics.row_source import ArrayRows

CROSS = [name for name in OBJECTIVE_NAMES if OBJECTIVES[name].needs_cross]
WITH_TARGETS = [name for name in OBJECTIVE_NAMES if OBJECTIVES[name].needs_targets]


@st.composite
def problems(draw, n_columns=8, n_candidates=20, kinds=KINDS):
    return make_problem(
        draw(st.sampled_from(kinds)),
        draw(st.sampled_from(REGULARIZERS)),
        draw(st.integers(0, 2**31 - 1)),
        n_columns=draw(st.integers(1, n_columns)),
        n_rows=draw(st.integers(1, 12)),
        n_targets=draw(st.integers(1, 6)),
        n_candidates=draw(st.integers(6, n_candidates)),
    )


# --- picks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_picks_are_exact(kind, regularizer, objective):
    problem = make_problem(kind, regularizer, 1)
    assert complaints(problem, objective, indices(select(problem, objective, 5))) == []


@settings(deadline=None, max_examples=60)
@given(problem=problems(), n_to_select=st.integers(1, 6))
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_picks_are_exact_whatever_the_shapes(objective, problem, n_to_select):
    picks = indices(select(problem, objective, n_to_select))
    assert complaints(problem, objective, picks) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_picks_equal_those_of_brute_force(kind, regularizer, objective):
    problem = make_problem(kind, regularizer, 2, n_candidates=10)
    picks, brute = indices(select(problem, objective, 4)), brute_picks(objective, problem, 4)
    # Where a factorization a candidate is not enough itself, the exact gains decide alone.
    assert picks == brute or complaints(problem, objective, brute)
    assert complaints(problem, objective, picks) == []


# A seed each at which bounds that forget how far a pick's own variance has fallen leave the
# best candidate out.
@pytest.mark.parametrize(
    ("objective", "seed"), [("mean-variance", 4), ("mean-variance", 48), ("log-det", 4)]
)
def test_screens_know_that_picks_wear_the_coordinates_out(objective, seed):
    problem = make_problem("decaying-targets-in-pool", 1e-13, seed)
    assert complaints(problem, objective, indices(select(problem, objective, 10))) == []


@pytest.mark.parametrize("objective", CROSS)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_pass_gives_the_same_picks(kind, regularizer, objective, monkeypatch):
    problem = make_problem(kind, regularizer, 3, n_candidates=24)
    plain = indices(select(problem, objective, 6))
    monkeypatch.setattr(screens, "best_pass", lambda name, *_: compiled_pass(name))
    assert indices(select(problem, objective, 6)) == plain


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("kind", ["normal", "duplicates", "targets-in-pool", "decaying"])
def test_whole_pool_can_be_picked(kind, objective):
    problem = make_problem(kind, 1e-8, 4)
    picks = indices(select(problem, objective, len(problem.pool)))
    assert sorted(picks) == list(range(len(problem.pool)))
    assert complaints(problem, objective, picks) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_one_target(regularizer, objective):
    for kind in ("normal", "steep", "targets-in-pool"):
        problem = make_problem(kind, regularizer, 5, n_targets=1)
        assert complaints(problem, objective, indices(select(problem, objective, 5))) == []


@pytest.mark.slow
@pytest.mark.parametrize("objective", WITH_TARGETS)
@pytest.mark.parametrize("kind", ["normal", "few-rows", "steep"])
def test_ten_thousand_targets(kind, objective):
    problem = make_problem(kind, 1e-11, 6, n_columns=4, n_targets=10_000, n_candidates=8)
    assert complaints(problem, objective, indices(select(problem, objective, 3))) == []


def test_many_targets_of_which_one_is_resolved():
    problem = make_problem("decaying-targets-in-pool", 1e-13, 7, n_targets=400, n_candidates=410)
    for objective in ("mean-pr", "mean-log-pr"):
        picks = indices(select(problem, objective, 2))
        assert complaints(problem, objective, picks) == []


@pytest.mark.parametrize("objective", CROSS)
@pytest.mark.parametrize("regularizer", [1e-8, 1e-13])
@pytest.mark.parametrize("kind", ["targets-in-pool", "targets-nearly-in-pool", "duplicates"])
def test_factorizations_of_doubtful_candidates_agree(kind, regularizer, objective, monkeypatch):
    monkeypatch.setattr(candidates, "_COORDINATE_ERROR", 1e-3)
    problem = make_problem(kind, regularizer, 24)
    assert complaints(problem, objective, indices(select(problem, objective, 4))) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_more_picks_than_a_chain_is_long(objective):
    problem = make_problem("normal", 1e-5, 8, n_columns=5, n_candidates=160)
    result = select(problem, objective, 140)
    assert complaints(problem, objective, indices(result)[:3]) == []
    assert len(set(indices(result))) == 140
    assert result.drift < 1e-12


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_many_duplicates_ask_for_a_fresh_whitening_and_go_by_position(objective):
    problem = make_problem("normal", 1e-5, 9, n_candidates=4)
    pool = np.repeat(problem.pool, 50, axis=0)
    problem = replace(problem, pool=pool)
    result = select(problem, objective, 5)
    assert result.n_whitenings >= 1
    assert complaints(problem, objective, indices(result)) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("kind", ["duplicates", "decaying-targets-in-pool", "near-duplicates"])
def test_batches_of_a_shortlist_do_not_matter(kind, objective, monkeypatch):
    problem = make_problem(kind, 1e-11, 10)
    whole = indices(select(problem, objective, 6))
    monkeypatch.setattr(greedy, "_BATCH_ELEMENTS", 1)
    assert indices(select(problem, objective, 6)) == whole


@pytest.mark.parametrize("objective", WITH_TARGETS)
@pytest.mark.parametrize("kind", ["normal", "steep", "targets-in-pool"])
def test_weights_of_targets(kind, objective):
    problem = make_problem(kind, 1e-8, 11)
    problem = replace(problem, weights=np.array([1e-3, 5.0, 1.0, 30.0, 0.2]))
    picks = indices(select(problem, objective, 5))
    assert complaints(problem, objective, picks) == []


def test_weights_change_the_picks():
    targets, pool = np.eye(2), np.diag([1.0, 2.0])
    even = Problem(np.eye(2), targets, pool, 1e-5)
    assert indices(select(even, "mean-pr", 1)) == [1]
    assert indices(select(replace(even, weights=np.array([9.0, 1.0])), "mean-pr", 1)) == [0]


def test_weights_count_relative_to_their_sum():
    assert normalized(np.array([3.0, 1.0]), 2).tolist() == [0.75, 0.25]
    assert normalized(None, 4).tolist() == [0.25] * 4
    assert normalized(None, 0).shape == (0,)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_excluded_candidates_are_never_picked(objective):
    problem = make_problem("normal", 1e-5, 12)
    first = indices(select(problem, objective, 1))[0]
    excluded = np.zeros(len(problem.pool), dtype=bool)
    excluded[[first, 0, 3]] = True
    problem = replace(problem, excluded=excluded)
    picks = indices(select(problem, objective, 11))
    assert not excluded[picks].any()
    assert complaints(problem, objective, picks) == []
    assert excluded.sum() == len({first, 0, 3})


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_candidates_of_zeros_gain_nothing_and_go_by_position(objective):
    problem = replace(make_problem("normal", 1e-5, 13), pool=np.zeros((4, 6)))
    result = select(problem, objective, 4)
    assert indices(result) == [0, 1, 2, 3]
    assert [pick.gain for pick in result.picks] == [0.0] * 4
    assert result.drift == 0.0


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_without_training_rows(objective):
    for regularizer in REGULARIZERS:
        problem = replace(make_problem("normal", regularizer, 14), rows=np.empty((0, 6)))
        assert complaints(problem, objective, indices(select(problem, objective, 8))) == []


def test_determinant_needs_no_targets():
    problem = make_problem("decaying", 1e-11, 15)
    with_targets = select(problem, "log-det", 6)
    without = select(replace(problem, targets=np.empty((0, 6))), "log-det", 6)
    assert indices(without) == indices(with_targets)
    assert np.isnan(without.picks[0].pr_mean)
    assert without.v_after.shape == (0,)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("shift", [-40, 40])
def test_units_of_features_do_not_change_the_picks(objective, shift):
    problem = make_problem("decaying", 1e-8, 16)
    s = 2.0**shift
    moved = Problem(s * problem.rows, s * problem.targets, s * problem.pool, s**2 * 1e-8)
    assert indices(select(moved, objective, 6)) == indices(select(problem, objective, 6))


# --- what a selection reports -----------------------------------------------------------------


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
    picker = ListPicker(order, ArrayRows(problem.pool), frame, OBJECTIVES[objective], weights)
    result = run_selection(picker, frame, OBJECTIVES[objective], weights, 4)
    exact = ExactSelection(problem.rows, problem.targets, problem.pool, 1e-5)
    assert indices(result) == order.tolist()
    for pick in result.picks:
        gain = known(exact.gains(objective)[pick.index])
        assert pick.gain == pytest.approx(gain, rel=1e-10, abs=1e-13)
        exact.add(pick.index)


# --- screens ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(problem=problems(), compiled=st.booleans())
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_bounds_contain_the_exact_gains(objective, problem, compiled):
    state, weights = posterior_of(problem), normalized(None, len(problem.targets))
    frame = TargetFrame(state, problem.targets)
    picker = GreedyPicker(ArrayRows(problem.pool), frame, state, OBJECTIVES[objective], weights, 6)
    if compiled and objective in CROSS:
        picker._screen._pass = compiled_pass(objective)
    exact = ExactSelection(problem.rows, problem.targets, problem.pool, problem.regularizer)
    for _ in range(6):
        lower, upper = (bound.copy() for bound in picker._screen.bounds(frame.v, weights))
        gains = np.array([known(gain) for gain in exact.gains(objective)])
        # Gains are those of data that the factorization has perturbed, the exact ones not.
        noise = 1e-9 * gains + resolution_of(objective, exact.inverse_rigidities(), weights)
        is_open = ~picker._closed
        assert np.all((lower <= gains + noise)[is_open])
        assert np.all((upper >= gains - noise)[is_open])
        effect, _ = picker.propose()
        frame.add(effect.row, effect.z, effect.q)
        picker.accept(effect)
        exact.add(effect.index)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_bounds_are_tight_on_tame_data(objective):
    problem = make_problem("normal", 1e-2, 23, n_candidates=200)
    result = select(problem, objective, 20)
    # The best and its runner-up each time, and hardly ever anybody else.
    assert result.n_exact <= 2 * 20 + 4
    assert result.n_whitenings == 0
