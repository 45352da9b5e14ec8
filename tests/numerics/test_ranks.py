"""Several ranks pick what one picks, and merge to the Hessian that one sums."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from block_problems import BlockProblem, block_posterior, block_problems, make_blocks
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import OBJECTIVE_NAMES, Problem, indices, make_problem, posterior_of, problems
from thread_ranks import run_ranks

from prcli.errors import FeatureError
from prcli.numerics.block_picker import BlockPicker
from prcli.numerics.block_source import ArrayBlocks
from prcli.numerics.candidates import _COORDINATE_ERROR
from prcli.numerics.gate import closing
from prcli.numerics.greedy import normalized, run_selection
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.pickers import GreedyPicker
from prcli.numerics.pool_share import PoolShare
from prcli.numerics.posterior import TargetFrame
from prcli.numerics.row_source import ArrayRows
from prcli.numerics.square_root import SquareRoot
from prcli.numerics.tree_merge import merge_ranks
from prcli.records import ALONE


def cuts_of(n_candidates, size, generator):
    """Where shares begin and end: uneven, some of them empty."""
    inner = np.sort(generator.integers(0, n_candidates + 1, size - 1))
    return np.concatenate([[0], inner, [n_candidates]]).tolist()


def select_alone(problem, objective, n_to_select, costs=None, **options):
    n_all = len(problem.pool)
    cuts = [0, n_all]
    return _select(problem, objective, n_to_select, ALONE, cuts, costs, options)


def select_as_ranks(problem, objective, n_to_select, cuts, costs=None, **options):
    """Let each rank pick, and give what rank 0 has."""
    results = run_ranks(
        len(cuts) - 1,
        lambda comm: _select(problem, objective, n_to_select, comm, cuts, costs, options),
    )
    for result in results[1:]:
        assert indices(result) == indices(results[0])
        assert result.n_exact == results[0].n_exact
        assert result.stopped == results[0].stopped
        for one, other in zip(result.picks, results[0].picks, strict=True):
            assert one.gain == other.gain
    return results[0]


def _select(problem, objective, n_to_select, communicator, cuts, costs, options):
    first, stop = cuts[communicator.rank : communicator.rank + 2]
    share = PoolShare(stop - first, first, cuts[-1], communicator)
    blocks = isinstance(problem, BlockProblem)
    state = block_posterior(problem) if blocks else posterior_of(problem)
    targets = TargetFrame(state, problem.targets)
    weights = normalized(problem.weights, len(problem.targets))
    gate = None if problem.excluded is None else closing(problem.excluded)
    if blocks:
        pool = ArrayBlocks.from_blocks(problem.pool[first:stop], problem.targets.shape[1])
        picker_of = partial(BlockPicker, pool, targets, n_threads=1)
    else:
        pool = ArrayRows(problem.pool[first:stop], 4)
        picker_of = partial(GreedyPicker, pool, targets)
    picker = picker_of(
        OBJECTIVES[objective],
        weights,
        n_to_select,
        gate,
        costs=costs,
        share=share,
    )
    return run_selection(
        picker,
        targets,
        OBJECTIVES[objective],
        weights,
        n_to_select,
        gate=gate,
        communicator=communicator,
        **options,
    )


def assert_same(found, wanted):
    """Compare two selections, as far as gains are more than rounding of what is there."""
    assert found.stopped == wanted.stopped
    assert len(found.picks) == len(wanted.picks)
    size = 0.0
    for n_clear, pick in enumerate(wanted.picks):
        size = max(size, abs(pick.objective), abs(wanted.objective_before))
        if pick.gain < 1e-10 * size:
            found, wanted = (replace(r, picks=r.picks[:n_clear]) for r in (found, wanted))
            break
    assert indices(found) == indices(wanted)
    # Coordinates are rounded; where little is left of a variance, that shows in what is gained.
    left = (wanted.v_after / wanted.v_before).min(initial=1.0)
    rtol = max(1e-9, 4.0 * _COORDINATE_ERROR / np.sqrt(left))
    for name in ("gain", "objective", "pr_mean", "pr_min", "pr_max"):
        numbers = [[getattr(pick, name) for pick in each.picks] for each in (found, wanted)]
        np.testing.assert_allclose(*numbers, rtol=rtol)
    margins = [[pick.margin for pick in each.picks] for each in (found, wanted)]
    np.testing.assert_allclose(*margins, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("are_blocks", [False, True])
def test_candidate_that_overflows_is_named_by_its_place_in_the_pool(objective, are_blocks):
    if are_blocks:
        problem = make_blocks("normal", 1e-2, 3)
        place = next(i for i in range(5, 10) if len(problem.pool[i]))
    else:
        problem, place = make_problem("normal", 1e-2, 3, n_candidates=9), 7
    problem.pool[place][:] *= 1e200
    cuts = [0, 2, 4, len(problem.pool)]
    with pytest.raises(FeatureError, match="overflow") as caught:
        select_as_ranks(problem, objective, 2, cuts)
    assert caught.value.where == f"candidate {place} of the pool"


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_ranks_pick_rows_as_one_does(objective, size, data):
    problem = data.draw(problems())
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    cuts = cuts_of(len(problem.pool), size, generator)
    n_to_select = data.draw(st.integers(1, 6))
    if problem.excluded is not None:
        n_to_select = min(n_to_select, int(np.count_nonzero(~problem.excluded)))
    wanted = select_alone(problem, objective, n_to_select)
    assert_same(select_as_ranks(problem, objective, n_to_select, cuts), wanted)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_ranks_pick_blocks_as_one_does(objective, size, data):
    problem = data.draw(block_problems())
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    cuts = cuts_of(len(problem.pool), size, generator)
    n_open = len(problem.pool)
    if problem.excluded is not None:
        n_open = int(np.count_nonzero(~problem.excluded))
    n_to_select = min(4, n_open)
    wanted = select_alone(problem, objective, n_to_select)
    assert_same(select_as_ranks(problem, objective, n_to_select, cuts), wanted)


def test_ranks_without_candidates():
    problem = make_problem("normal", 1e-5, seed=3, n_candidates=3)
    wanted = select_alone(problem, "mean-pr", 3)
    for cuts in ([0, 0, 3, 3], [0, 3, 3, 3], [0, 1, 2, 3, 3]):
        assert_same(select_as_ranks(problem, "mean-pr", 3, cuts), wanted)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_of_equal_candidates_of_several_ranks_the_first_wins(objective):
    problem = make_problem("normal", 1e-5, seed=5, n_candidates=4)
    pool = np.concatenate([problem.pool] * 3)[np.random.default_rng(1).permutation(12)]
    problem = Problem(problem.rows, problem.targets, pool, problem.regularizer)
    wanted = select_alone(problem, objective, 3)
    found = select_as_ranks(problem, objective, 3, [0, 2, 5, 9, 12])
    assert_same(found, wanted)
    assert found.picks[0].margin == 0.0
    best = pool[found.picks[0].index]
    assert found.picks[0].index == np.flatnonzero((pool == best).all(axis=1))[0]


def test_costs_and_ends_are_those_of_the_whole():
    problem = make_problem("normal", 1e-5, seed=7, n_candidates=20)
    costs = np.random.default_rng(2).uniform(1.0, 5.0, 20)
    cuts = [0, 7, 7, 20]
    wanted = select_alone(problem, "mean-pr", 8, costs=costs)
    assert_same(select_as_ranks(problem, "mean-pr", 8, cuts, costs=costs), wanted)
    whole = select_alone(problem, "log-det", 8)
    for options in ({"stop_gain": 0.3}, {"stop_pr": whole.picks[3].pr_min * (1 - 1e-9)}):
        wanted = select_alone(problem, "log-det", 8, **options)
        assert 0 < len(wanted.picks) < 8
        assert_same(select_as_ranks(problem, "log-det", 8, cuts, **options), wanted)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_merged_square_roots_are_that_of_all_rows(size):
    generator = np.random.default_rng(size)
    rows = [generator.normal(size=(height, 6)) for height in range(size)]

    def merged(communicator):
        root = SquareRoot(6)
        root.add_rows(rows[communicator.rank])
        return merge_ranks(root.factor, communicator)

    found = run_ranks(size, merged)
    everything = np.concatenate(rows)
    wanted = everything.T @ everything
    for factor in found:
        np.testing.assert_array_equal(factor, found[0])
        assert factor.flags.f_contiguous or size == 1
        np.testing.assert_array_equal(factor, np.triu(factor))
        np.testing.assert_allclose(factor.T @ factor, wanted, rtol=1e-12, atol=1e-12)


def test_a_serial_communicator_is_the_twin_of_one_rank():
    assert run_ranks(1, lambda comm: (comm.rank, comm.size, comm.gather_all(3))) == [
        (ALONE.rank, ALONE.size, ALONE.gather_all(3))
    ]
    assert ALONE.broadcast("x") == "x"
    assert not ALONE.has_message()
    ALONE.check()
    for forbidden in (lambda: ALONE.send(1, 0), ALONE.receive):
        with pytest.raises(ValueError, match="there is no"):
            forbidden()
