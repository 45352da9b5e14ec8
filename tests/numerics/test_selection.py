from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import brute_picks, complaints
from problems import (
    KINDS,
    OBJECTIVE_NAMES,
    REGULARIZERS,
    Problem,
    indices,
    make_problem,
    problems,
    select,
)

from prcli.numerics import candidates, pickers, screens
from prcli.numerics.greedy import normalized
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.passes import compiled_loops

CROSS = [name for name in OBJECTIVE_NAMES if OBJECTIVES[name].needs_cross]
WITH_TARGETS = [name for name in OBJECTIVE_NAMES if OBJECTIVES[name].needs_targets]


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


# Data at which bounds that forget how far a pick's own variance has fallen leave the best
# candidate out.
@pytest.mark.parametrize(
    ("regularizer", "seed"), [(1e-13, 4), (1e-13, 74), (1e-13, 84), (1e-11, 122)]
)
def test_screens_know_that_picks_wear_the_coordinates_out(regularizer, seed):
    problem = make_problem("decaying-targets-in-pool", regularizer, seed)
    picks = indices(select(problem, "mean-variance", 10))
    assert complaints(problem, "mean-variance", picks) == []


@pytest.mark.parametrize("objective", CROSS)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_pass_gives_the_same_picks(kind, regularizer, objective, monkeypatch):
    problem = make_problem(kind, regularizer, 3, n_candidates=24)
    plain = indices(select(problem, objective, 6))
    monkeypatch.setattr(screens, "best_loops", lambda name, *_: compiled_loops(name))
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


def test_doubt_about_one_target_brings_no_noise_of_others():
    """A tie that holds in targets which a candidate hardly changes, next to one it resolves."""
    weights = np.array([0.42672195, 1.94061175, 1.52329149, 0.36121374, 0.28373973])
    problem = make_problem(
        "targets-nearly-in-pool", 1e-11, 79800712, n_columns=8, n_rows=7, n_candidates=28
    )
    problem = replace(problem, weights=weights)
    picks = indices(select(problem, "mean-pr", 23))
    assert complaints(problem, "mean-pr", picks) == []


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
    monkeypatch.setattr(pickers, "_BATCH_ELEMENTS", 1)
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
