from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from block_problems import (
    BLOCK_KINDS,
    BlockProblem,
    ExactBlockSelection,
    block_complaints,
    block_posterior,
    block_problems,
    block_source,
    brute_block_picks,
    make_blocks,
    select_blocks,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import known, resolution_of
from problems import OBJECTIVE_NAMES, REGULARIZERS, Problem, indices, select

from prcli.numerics import block_picker, block_screen, candidates
from prcli.numerics.baselines import FixedOrder
from prcli.numerics.block_picker import BlockListPicker
from prcli.numerics.block_source import ArrayBlocks
from prcli.numerics.greedy import normalized, run_selection
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import TargetFrame

CROSS = [name for name in OBJECTIVE_NAMES if OBJECTIVES[name].needs_cross]
WITH_TARGETS = [name for name in OBJECTIVE_NAMES if OBJECTIVES[name].needs_targets]


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("kind", BLOCK_KINDS)
def test_picks_of_blocks_are_exact(kind, regularizer, objective):
    problem = make_blocks(kind, regularizer, 1)
    result = select_blocks(problem, objective, 5)
    assert block_complaints(problem, objective, indices(result)) == []
    assert result.drift < 1e-9


@settings(deadline=None, max_examples=60)
@given(problem=block_problems(), n_to_select=st.integers(1, 6))
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_picks_of_blocks_are_exact_whatever_the_shapes(objective, problem, n_to_select):
    picks = indices(select_blocks(problem, objective, n_to_select))
    assert block_complaints(problem, objective, picks) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("kind", BLOCK_KINDS)
def test_picks_of_blocks_equal_those_of_brute_force(kind, regularizer, objective):
    problem = make_blocks(kind, regularizer, 2)
    picks = indices(select_blocks(problem, objective, 4))
    brute = brute_block_picks(objective, problem, 4)
    # Where a factorization a candidate is not enough itself, the exact gains decide alone.
    assert picks == brute or block_complaints(problem, objective, brute)
    assert block_complaints(problem, objective, picks) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("regularizer", [1e-2, 1e-8, 1e-13])
@pytest.mark.parametrize("kind", ["normal", "steep", "targets-spanned", "rows-of-all-sizes"])
def test_whole_pool_of_blocks_can_be_picked(kind, regularizer, objective):
    problem = make_blocks(kind, regularizer, 3)
    picks = indices(select_blocks(problem, objective, len(problem.pool)))
    assert sorted(picks) == list(range(len(problem.pool)))
    assert block_complaints(problem, objective, picks) == []


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("kind", ["normal", "steep-targets-in-pool", "dependent-rows"])
def test_many_picks_of_larger_blocks_are_exact(kind, objective):
    heights = np.random.default_rng(4).integers(0, 17, 30).tolist()
    problem = make_blocks(kind, 1e-11, 4, n_columns=14, heights=heights)
    picks = indices(select_blocks(problem, objective, 12))
    assert block_complaints(problem, objective, picks) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("kind", ["normal", "decaying", "targets-in-pool", "duplicates"])
def test_blocks_of_one_row_are_picked_as_single_rows(kind, regularizer, objective):
    problem = make_blocks(kind, regularizer, 5, heights=[1] * 16)
    single = Problem(
        problem.rows, problem.targets, np.concatenate(problem.pool), problem.regularizer
    )
    blocks, rows = select_blocks(problem, objective, 6), select(single, objective, 6)
    assert indices(blocks) == indices(rows)
    noise = resolution_of(objective, blocks.v_before, normalized(None, len(problem.targets)))
    for block, row in zip(blocks.picks, rows.picks, strict=True):
        assert block.gain == pytest.approx(row.gain, rel=1e-9, abs=noise)
    np.testing.assert_allclose(blocks.v_after, rows.v_after, rtol=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_blocks_without_rows_gain_nothing_and_go_last(objective):
    problem = make_blocks("normal", 1e-5, 6, heights=[0, 2, 0, 1])
    result = select_blocks(problem, objective, 4)
    assert indices(result)[2:] == [0, 2]
    assert [pick.gain for pick in result.picks[2:]] == [0.0, 0.0]
    assert result.picks[2].margin == 0.0


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_pools_of_nothing_but_empty_blocks_go_by_position(objective):
    problem = make_blocks("normal", 1e-5, 6, heights=[0, 0, 0])
    result = select_blocks(problem, objective, 3)
    assert indices(result) == [0, 1, 2]
    np.testing.assert_array_equal(result.v_after, result.v_before)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_blocks_of_zeros_gain_nothing_and_go_by_position(objective):
    problem = make_blocks("normal", 1e-5, 7, heights=[2, 1, 7])
    problem = replace(problem, pool=[0.0 * block for block in problem.pool])
    result = select_blocks(problem, objective, 3)
    assert indices(result) == [0, 1, 2]
    assert [pick.gain for pick in result.picks] == [0.0] * 3


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("height", [1, 3, 8])
def test_equal_blocks_are_tied(height, objective):
    problem = make_blocks("normal", 1e-8, 8, heights=[height] * 2)
    block = problem.pool[0]
    problem = replace(problem, pool=[0.1 * block, block, -block[::-1], block])
    result = select_blocks(problem, objective, 2)
    assert indices(result)[0] == 1
    assert result.picks[0].margin == 0.0
    assert block_complaints(problem, objective, indices(result)) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_blocks_that_differ_by_less_than_the_tolerance_are_tied(objective):
    problem = make_blocks("normal", 1e-2, 8, heights=[3])
    block = problem.pool[0]
    problem = replace(problem, pool=[block * (1.0 - 1e-11), block, block, 0.5 * block])
    result = select_blocks(problem, objective, 1)
    assert indices(result) == [0]
    assert result.picks[0].margin == 0.0


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_cutting_rows_off_a_triangular_factor_changes_nothing(objective):
    problem = make_blocks("decaying", 1e-8, 9, heights=[3, 9, 1, 12])
    reduced = [
        np.linalg.qr(block, mode="r") if len(block) > 6 else block for block in problem.pool
    ]
    whole, short = (
        select_blocks(replace(problem, pool=pool), objective, 4)
        for pool in (problem.pool, reduced)
    )
    assert indices(whole) == indices(short)
    for one, other in zip(whole.picks, short.picks, strict=True):
        assert one.gain == pytest.approx(other.gain, rel=1e-9)


@pytest.mark.parametrize("objective", WITH_TARGETS)
@pytest.mark.parametrize("kind", ["normal", "steep", "targets-spanned"])
def test_weights_of_targets_count_for_blocks(kind, objective):
    problem = replace(
        make_blocks(kind, 1e-8, 10), weights=np.array([1e-3, 5.0, 1.0, 30.0, 0.2])
    )
    picks = indices(select_blocks(problem, objective, 5))
    assert block_complaints(problem, objective, picks) == []


def test_weights_change_the_picks_of_blocks():
    pool = [np.array([[1.0, 0.0], [0.5, 0.0]]), np.array([[0.0, 2.0]])]
    even = BlockProblem(np.eye(2), np.eye(2), pool, 1e-5)
    assert indices(select_blocks(even, "mean-variance", 1)) == [1]
    uneven = replace(even, weights=np.array([9.0, 1.0]))
    assert indices(select_blocks(uneven, "mean-variance", 1)) == [0]


@pytest.mark.parametrize("n_targets", [1, 6, 7, 40])
@pytest.mark.parametrize("regularizer", [1e-2, 1e-8, 1e-13])
def test_variances_of_any_number_of_targets(regularizer, n_targets):
    for kind in ("normal", "steep"):
        problem = make_blocks(kind, regularizer, 11, n_targets=n_targets)
        picks = indices(select_blocks(problem, "mean-variance", 5))
        assert block_complaints(problem, "mean-variance", picks) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_excluded_blocks_are_never_picked(objective):
    problem = make_blocks("normal", 1e-5, 12)
    first = indices(select_blocks(problem, objective, 1))[0]
    excluded = np.zeros(len(problem.pool), dtype=bool)
    excluded[[first, 0, 3]] = True
    problem = replace(problem, excluded=excluded)
    n_open = int((~excluded).sum())
    picks = indices(select_blocks(problem, objective, n_open))
    assert sorted(picks) == np.flatnonzero(~excluded).tolist()
    assert block_complaints(problem, objective, picks) == []
    assert excluded.sum() == len({first, 0, 3})


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_blocks_without_training_rows(regularizer, objective):
    problem = replace(make_blocks("normal", regularizer, 13), rows=np.empty((0, 6)))
    picks = indices(select_blocks(problem, objective, 6))
    assert block_complaints(problem, objective, picks) == []


def test_determinant_of_blocks_needs_no_targets():
    problem = make_blocks("decaying", 1e-11, 14)
    without = replace(problem, targets=np.empty((0, 6)))
    result = select_blocks(without, "log-det", 6)
    assert indices(result) == indices(select_blocks(problem, "log-det", 6))
    assert np.isnan(result.picks[0].pr_mean)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("shift", [-40, 40])
def test_units_of_features_do_not_change_the_picks_of_blocks(objective, shift):
    problem = make_blocks("decaying", 1e-8, 15)
    s = 2.0**shift
    moved = BlockProblem(
        s * problem.rows, s * problem.targets, [s * b for b in problem.pool], s**2 * 1e-8
    )
    assert indices(select_blocks(moved, objective, 6)) == indices(
        select_blocks(problem, objective, 6)
    )


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_results_do_not_depend_on_the_number_of_threads(objective):
    heights = np.random.default_rng(16).integers(0, 9, 60).tolist()
    problem = make_blocks("decaying", 1e-8, 16, heights=heights)
    one, three = (select_blocks(problem, objective, 20, n_threads=n) for n in (1, 3))
    assert one.picks == three.picks
    np.testing.assert_array_equal(one.v_after, three.v_after)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("kind", ["normal", "targets-nearly-spanned", "equal-blocks"])
def test_batches_of_finalists_do_not_matter(kind, objective, monkeypatch):
    problem = make_blocks(kind, 1e-13, 17)
    whole = select_blocks(problem, objective, 6)
    monkeypatch.setattr(block_picker, "BATCH_ELEMENTS", 1)
    assert select_blocks(problem, objective, 6).picks == whole.picks


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_long_shortlists_of_blocks_ask_for_a_fresh_whitening(objective):
    problem = make_blocks("normal", 1e-5, 18, heights=[2, 3])
    pool = [block for block in problem.pool for _ in range(20)]
    problem = replace(problem, pool=pool)
    result = select_blocks(problem, objective, 4)
    assert result.n_whitenings >= 1
    assert block_complaints(problem, objective, indices(result)) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("kind", ["normal", "steep-targets-in-pool", "targets-spanned"])
def test_screens_that_tell_nothing_cost_time_only(kind, objective, monkeypatch):
    problem = make_blocks(kind, 1e-11, 19)
    expected = indices(select_blocks(problem, objective, 5))
    monkeypatch.setattr(block_screen, "WILD", -1.0)
    result = select_blocks(problem, objective, 5)
    assert indices(result) == expected
    n_open = sum(len(block) > 0 for block in problem.pool)
    assert result.n_exact >= sum(n_open - i for i in range(5))


@pytest.mark.parametrize("objective", CROSS)
@pytest.mark.parametrize("regularizer", [1e-8, 1e-13])
@pytest.mark.parametrize("kind", ["targets-spanned", "targets-nearly-spanned", "duplicates"])
def test_factorizations_of_doubtful_blocks_agree(kind, regularizer, objective, monkeypatch):
    monkeypatch.setattr(candidates, "_COORDINATE_ERROR", 1e-3)
    problem = make_blocks(kind, regularizer, 20)
    picks = indices(select_blocks(problem, objective, 4))
    assert block_complaints(problem, objective, picks) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("regularizer", [1e-2, 1e-8, 1e-13])
@pytest.mark.parametrize("kind", ["normal", "steep", "targets-spanned", "dependent-rows"])
def test_reported_gains_of_blocks_are_exact(kind, regularizer, objective):
    problem = make_blocks(kind, regularizer, 21)
    result = select_blocks(problem, objective, 5)
    exact = ExactBlockSelection(problem)
    for pick in result.picks:
        v, gain = exact.inverse_rigidities(), known(exact.gains(objective)[pick.index])
        noise = resolution_of(objective, v, normalized(None, len(v)))
        assert pick.gain == pytest.approx(gain, rel=1e-8, abs=noise)
        exact.add(pick.index)
    np.testing.assert_allclose(result.v_after, exact.inverse_rigidities(), rtol=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_given_order_of_blocks_is_kept(objective):
    problem = make_blocks("normal", 1e-5, 22)
    order = np.array([7, 0, 2, 6])
    frame = TargetFrame(block_posterior(problem), problem.targets)
    weights = normalized(None, len(problem.targets))
    picker = BlockListPicker(
        FixedOrder(order), block_source(problem), frame, OBJECTIVES[objective], weights
    )
    result = run_selection(picker, frame, OBJECTIVES[objective], weights, 4)
    exact = ExactBlockSelection(problem)
    assert indices(result) == order.tolist()
    for pick in result.picks:
        gain = known(exact.gains(objective)[pick.index])
        assert pick.gain == pytest.approx(gain, rel=1e-10, abs=1e-13)
        assert np.isnan(pick.margin)
        exact.add(pick.index)


@settings(deadline=None, max_examples=30)
@given(
    heights=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    block_rows=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_blocks_come_whole_and_in_order(heights, block_rows, seed):
    rows = np.random.default_rng(seed).normal(size=(sum(heights), 3)).astype(np.float32)
    source = ArrayBlocks(rows, heights, block_rows)
    seen, parts = 0, []
    for first, some, part in source.blocks():
        assert first == seen
        assert part.dtype == np.float64
        assert len(part) == some.sum()
        assert len(part) <= block_rows or len(some) == 1
        seen += len(some)
        parts.append(part)
    assert seen == source.n_blocks == len(heights)
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    pieces = [source.take(i) for i in range(len(heights))]
    assert [len(piece) for piece in pieces] == heights
    np.testing.assert_array_equal(np.concatenate(pieces), rows)


def test_heights_that_do_not_fit_the_rows_are_refused():
    with pytest.raises(ValueError, match="heights sum to 3, there are 4 rows"):
        ArrayBlocks(np.ones((4, 2)), [1, 2])
    with pytest.raises(ValueError, match="heights"):
        ArrayBlocks(np.ones((1, 2)), [2, -1])
