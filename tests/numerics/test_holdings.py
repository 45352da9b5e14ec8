"""What is held in memory, and in which precision, changes no pick."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import ExactSelection, brute_picks, complaints, known, resolution_of
from problems import (
    KINDS,
    OBJECTIVE_NAMES,
    REGULARIZERS,
    indices,
    make_problem,
    posterior_of,
    problems,
    select,
)
from test_screens import compile_screen, unresolved

from prcli.numerics import covariances, passes, pickers, pool_coordinates, pool_frame, screens
from prcli.numerics.greedy import greedy_selection, normalized
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.passes import compiled_loops
from prcli.numerics.pickers import GreedyPicker
from prcli.numerics.posterior import TargetFrame
from prcli.numerics.row_source import ArrayRows
from prcli.records import Holding

CROSS = [name for name in OBJECTIVE_NAMES if OBJECTIVES[name].needs_cross]
PRECISIONS = ("float64", "float32", "none")
OTHERS = [
    Holding(pool, kept)
    for pool in PRECISIONS
    for kept in PRECISIONS
    if (pool, kept) != ("float64", "float64")
]


def holdings_of(objective):
    """Holdings that differ for an objective."""
    return [each for each in OTHERS if objective in CROSS or each.covariances == "float64"]


CASES = [(name, holding) for name in OBJECTIVE_NAMES for holding in holdings_of(name)]
each_case = pytest.mark.parametrize(
    ("objective", "holding"), CASES, ids=[f"{n}-{h.pool}-{h.covariances}" for n, h in CASES]
)


@each_case
@pytest.mark.parametrize("kind", KINDS)
def test_picks_are_those_of_float64(kind, objective, holding):
    for regularizer in REGULARIZERS:
        problem = make_problem(kind, regularizer, 1)
        picks = indices(select(problem, objective, 6, holding=holding))
        plain = indices(select(problem, objective, 6))
        assert picks == plain or complaints(problem, objective, picks) == []


@each_case
@pytest.mark.parametrize("kind", ["steep-targets-in-pool", "near-duplicates", "spread"])
def test_picks_are_those_of_brute_force(kind, objective, holding):
    for regularizer in REGULARIZERS:
        problem = make_problem(kind, regularizer, 2, n_candidates=8)
        picks = indices(select(problem, objective, 3, holding=holding))
        brute = brute_picks(objective, problem, 3)
        # Where a factorization a candidate is not enough itself, the exact gains decide alone.
        assert picks == brute or complaints(problem, objective, picks) == []


@each_case
@pytest.mark.parametrize("kind", ["normal", "duplicates", "decaying-targets-in-pool", "zeros"])
def test_whole_pool_can_be_picked(kind, objective, holding):
    problem = make_problem(kind, 1e-8, 4)
    picks = indices(select(problem, objective, len(problem.pool), holding=holding))
    assert picks == indices(select(problem, objective, len(problem.pool)))


@each_case
def test_excluded_candidates_are_never_picked(objective, holding):
    problem = make_problem("decaying", 1e-5, 12)
    first = indices(select(problem, objective, 1))[0]
    excluded = np.zeros(len(problem.pool), dtype=bool)
    excluded[[first, 0, 3]] = True
    problem = replace(problem, excluded=excluded)
    picks = indices(select(problem, objective, 11, holding=holding))
    assert not excluded[picks].any()
    assert picks == indices(select(problem, objective, 11))


@each_case
def test_more_picks_than_a_chain_is_long(objective, holding):
    problem = make_problem("normal", 1e-5, 8, n_columns=5, n_candidates=150)
    picks = indices(select(problem, objective, 140, holding=holding))
    assert picks == indices(select(problem, objective, 140))


@pytest.mark.parametrize("holding", OTHERS)
@pytest.mark.parametrize("objective", CROSS)
@pytest.mark.parametrize("kind", ["normal", "decaying-targets-in-pool"])
def test_blocks_and_compiled_loops_do_not_matter(kind, objective, holding, monkeypatch):
    problem = make_problem(kind, 1e-11, 3, n_candidates=40, n_targets=9)
    plain = indices(select(problem, objective, 8))
    monkeypatch.setattr(covariances, "FRESH_ELEMENTS", 30)
    monkeypatch.setattr(covariances, "BLOCK_ELEMENTS", 30)
    monkeypatch.setattr(pool_coordinates, "CAST_ELEMENTS", 30)
    monkeypatch.setattr(passes, "CAST_ELEMENTS", 30)
    assert indices(select(problem, objective, 8, holding=holding)) == plain
    monkeypatch.setattr(screens, "best_loops", lambda name, *_: compiled_loops(name))
    assert indices(select(problem, objective, 8, holding=holding)) == plain


@each_case
def test_useless_bounds_are_only_slow(objective, holding, monkeypatch):
    """Everybody reaches the best: exact gains decide among the whole pool, batch by batch."""
    problem = make_problem("decaying", 1e-8, 17, n_candidates=60)
    plain = indices(select(problem, objective, 5))
    monkeypatch.setattr(pickers, "_BATCH_ELEMENTS", 80)
    monkeypatch.setattr(pool_frame.PoolFrame, "noise", 1e3)
    result = select(problem, objective, 5, holding=holding)
    assert indices(result) == plain
    assert result.n_exact == 60 + 59 + 58 + 57 + 56


def test_units_far_from_those_of_float32_do_not_matter():
    problem = make_problem("decaying", 1e-8, 16)
    # Squares of these, and products of both, are beyond the range of float32.
    for target_unit, pool_unit in ((2.0**80, 2.0**-80), (2.0**-80, 1.0), (2.0**-80, 2.0**-80)):
        moved = replace(
            problem, targets=target_unit * problem.targets, pool=pool_unit * problem.pool
        )
        for objective in CROSS:
            plain = indices(select(moved, objective, 6))
            for holding in holdings_of(objective):
                assert indices(select(moved, objective, 6, holding=holding)) == plain


class CountedRows(ArrayRows):
    """Rows that count how often they are read from first to last."""

    def __init__(self, rows):
        super().__init__(rows, 7)
        self.n_passes = 0

    def blocks(self):
        self.n_passes += 1
        return super().blocks()


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_streamed_pool_is_read_once_a_pick(objective):
    problem = make_problem("normal", 1e-2, 23, n_candidates=60)
    for precision, n_passes in (("none", 8), ("float32", 1), ("float64", 1)):
        rows = CountedRows(problem.pool)
        greedy_selection(
            posterior_of(problem),
            problem.targets,
            rows,
            OBJECTIVES[objective],
            8,
            holding=Holding(precision, "float64"),
        )
        assert rows.n_passes == n_passes


@settings(deadline=None, max_examples=10, derandomize=True)
@given(problem=problems(), compiled=st.booleans())
@each_case
def test_bounds_contain_the_exact_gains(objective, holding, problem, compiled):
    weights = normalized(None, len(problem.targets))
    frame = TargetFrame(posterior_of(problem), problem.targets)
    picker = GreedyPicker(
        ArrayRows(problem.pool, 7),
        frame,
        OBJECTIVES[objective],
        weights,
        6,
        holding=holding,
    )
    if compiled and objective in CROSS:
        compile_screen(picker._screen, objective, frame)
    exact = ExactSelection(problem.rows, problem.targets, problem.pool, problem.regularizer)
    for _ in range(6):
        lower, upper = (bound.copy() for bound in picker._screen.bounds(frame.v, weights))
        gains = np.array([known(gain) for gain in exact.gains(objective)])
        # Gains are those of data that the factorization has perturbed, the exact ones not.
        noise = unresolved(picker._screen) * gains
        noise += resolution_of(objective, exact.inverse_rigidities(), weights)
        is_open = ~picker._gate.closed
        assert np.all((lower <= gains + noise)[is_open])
        assert np.all((upper >= gains - noise)[is_open])
        effect, _ = picker.propose()
        frame.add(effect.rows, effect.step)
        picker.accept(effect)
        exact.add(effect.index)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_what_is_held_goes_with_the_picker(objective):
    problem = make_problem(KINDS[0], REGULARIZERS[0], 1)
    weights = normalized(None, len(problem.targets))
    targets = TargetFrame(posterior_of(problem), problem.targets)
    pool, chosen = ArrayRows(problem.pool), OBJECTIVES[objective]
    picker = GreedyPicker(pool, targets, chosen, weights, 2)
    picker.propose()
    held = weakref.ref(picker._screen)
    gc.disable()
    try:
        del picker
        assert held() is None
    finally:
        gc.enable()
