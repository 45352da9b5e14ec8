from __future__ import annotations

import numpy as np
import pytest
from block_problems import (
    BlockProblem,
    ExactBlockSelection,
    block_complaints,
    block_posterior,
    block_problems,
    block_source,
    make_blocks,
    select_blocks,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import known, resolution_of
from problems import OBJECTIVE_NAMES, REGULARIZERS, indices

from prcli.errors import FeatureError
from prcli.numerics import block_group, block_passes
from prcli.numerics.blas_threads import granted_threads
from prcli.numerics.block_bounds import BOUNDS
from prcli.numerics.block_picker import BlockPicker
from prcli.numerics.block_screen import BlockScreen
from prcli.numerics.greedy import normalized
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.part_threads import for_each
from prcli.numerics.posterior import TargetFrame


def screen_of(problem, objective):
    """A screen, its posterior, and its targets."""
    state, weights = block_posterior(problem), normalized(None, len(problem.targets))
    frame = TargetFrame(state, problem.targets)
    open_ = np.zeros(len(problem.pool), dtype=bool)
    screen = BlockScreen(OBJECTIVES[objective], block_source(problem), frame, weights, 6, open_)
    return screen, state, frame


@settings(deadline=None, max_examples=50)
@given(problem=block_problems(), compiled=st.booleans())
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_bounds_contain_the_exact_gains_of_blocks(objective, problem, compiled):
    weights = normalized(None, len(problem.targets))
    frame = TargetFrame(block_posterior(problem), problem.targets)
    picker = BlockPicker(block_source(problem), frame, OBJECTIVES[objective], weights, 6)
    if compiled:
        loops = block_passes.compiled_loops()
        picker._screen._loops = dict.fromkeys(picker._screen._loops, loops)
    exact = ExactBlockSelection(problem)
    for _ in range(6):
        lower, upper = picker._screen.bounds()
        gains = np.array([known(gain) for gain in exact.gains(objective)])
        # Gains are those of data that the factorization has perturbed, the exact ones not.
        noise = resolution_of(objective, exact.inverse_rigidities(), weights)
        noise = 1e-9 * gains + 10.0 * noise
        is_open = ~picker._gate.closed
        assert np.all((lower <= gains + noise)[is_open])
        assert np.all((upper >= gains - noise)[is_open])
        effect, _ = picker.propose()
        frame.add(effect.rows)
        picker.accept(effect)
        exact.add(effect.index)


# Data at which bounds fail that forget what a factor is ill-conditioned by, that of a pick 1e5
# times larger than all rows before it, or that picks spread that to covariances within a block.
@pytest.mark.parametrize(
    ("regularizer", "seed", "n_columns", "objective"),
    [(1e-11, 230, 2, "log-det"), (1e-13, 235, 2, "mean-pr"), (1e-2, 140, 6, "mean-pr")],
)
def test_bounds_know_what_large_picks_do(regularizer, seed, n_columns, objective):
    problem = make_blocks("rows-of-all-sizes", regularizer, seed, n_columns=n_columns)
    order = indices(select_blocks(problem, objective, 4))
    screen, _, frame = screen_of(problem, objective)
    exact = ExactBlockSelection(problem)
    is_open = np.ones(len(problem.pool), dtype=bool)
    for index in order:
        lower, upper = screen.bounds()
        gains = np.array([known(gain) for gain in exact.gains(objective)])
        assert np.all((lower <= gains * (1.0 + 1e-9) + 1e-12)[is_open])
        assert np.all((upper >= gains * (1.0 - 1e-9) - 1e-12)[is_open])
        frame.add(problem.pool[index])
        screen.add(problem.pool[index])
        exact.add(index)
        is_open[index] = False


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("kind", ["normal", "steep", "targets-spanned", "rows-of-all-sizes"])
def test_errors_of_drops_are_bounded(kind, regularizer, monkeypatch):
    seen = []
    original = BlockScreen._drops

    def drops(self, S, K, squares):
        drop, error = original(self, S, K, squares)
        seen.append((len(squares[0]), drop.copy(), error.copy()))
        return drop, error

    monkeypatch.setattr(BlockScreen, "_drops", drops)
    for seed in range(8, 12):
        problem = make_blocks(kind, regularizer, seed)
        screen, _, frame = screen_of(problem, "mean-log-pr")
        exact = ExactBlockSelection(problem)
        for index in (3, 6, 7, 1):
            seen.clear()
            _, upper = screen.bounds()
            v, effects = exact.variances(), exact.effects()
            for height, drop, error in seen:
                members = screen_members(screen, height)
                expected = [
                    [known(before - after) for before, after in zip(v, effects[c][1], strict=True)]
                    for c in members
                ]
                tame = np.isfinite(upper[members])
                assert np.all((np.abs(drop - expected) <= error)[tame])
            frame.add(problem.pool[index])
            screen.add(problem.pool[index])
            exact.add(index)


def screen_members(screen, height):
    """Candidates of one height."""
    return next(g.members for g in screen.frame.groups if g.height == height)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("kind", ["normal", "steep", "targets-spanned", "rows-of-all-sizes"])
def test_bounds_of_determinants_need_no_tolerance(kind, regularizer):
    for seed in range(8, 12):
        problem = make_blocks(kind, regularizer, seed)
        screen, _, frame = screen_of(problem, "log-det")
        exact = ExactBlockSelection(problem)
        for index in (3, 6, 7, 1):
            lower, upper = screen.bounds()
            gains = np.array([known(gain) for gain in exact.gains("log-det")])
            assert np.all(lower <= gains)
            assert np.all(gains <= upper)
            frame.add(problem.pool[index])
            screen.add(problem.pool[index])
            exact.add(index)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("compile_from", [0.0, np.inf])
def test_blocks_whose_covariances_are_singular_are_bounded(compile_from, objective, monkeypatch):
    monkeypatch.setattr(block_passes, "COMPILE_FROM", compile_from)
    twice = np.array([[1e3, 0.0], [1e3, 0.0]])
    problem = BlockProblem(np.empty((0, 2)), np.eye(2), [twice[:1], twice, 1e-9 * twice], 1e-13)
    result = select_blocks(problem, objective, 3)
    assert block_complaints(problem, objective, indices(result)) == []


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_bounds_of_blocks_are_tight_on_tame_data(objective):
    heights = np.random.default_rng(1).integers(1, 9, 200).tolist()
    problem = make_blocks("normal", 1e-2, 1, heights=heights)
    result = select_blocks(problem, objective, 20)
    # The best and its runner-up each time, and hardly ever anybody else.
    assert result.n_exact <= 2 * 20 + 4
    assert result.n_whitenings == 0


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("kind", ["normal", "decaying"])
def test_updated_covariances_are_those_of_a_fresh_factorization(kind, objective):
    problem = make_blocks(kind, 1e-3, 2)
    screen, _, frame = screen_of(problem, objective)
    for index in (7, 1, 0, 5):
        frame.add(problem.pool[index])
        screen.add(problem.pool[index])
        screen.bounds()
    assert screen.frame.n_picks == 3
    fresh, _, _ = screen_of(
        BlockProblem(
            np.concatenate([problem.rows, *(problem.pool[i] for i in (7, 1, 5))]),
            problem.targets,
            problem.pool,
            problem.regularizer,
        ),
        objective,
    )
    for group, other in zip(screen.frame.groups, fresh.frame.groups, strict=True):
        assert group.members.tolist() == other.members.tolist()
        for values, expected in zip(_spectra(group), _spectra(other), strict=True):
            np.testing.assert_allclose(values, expected, rtol=1e-8, atol=1e-10)


def _spectra(group):
    """What no change of the basis of its rows changes about a block and its targets."""
    gram = group.gram * (group.lengths[:, :, np.newaxis] * group.lengths[:, np.newaxis])
    covariances = group.covariances * group.lengths[:, :, np.newaxis]
    return np.linalg.eigvalsh(gram), np.linalg.norm(covariances, axis=1)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_picks_between_two_looks_are_all_applied(objective):
    problem = make_blocks("normal", 1e-3, 3)
    bounds = []
    for looks in (True, False):
        screen, _, frame = screen_of(problem, objective)
        for index in (7, 1, 5):
            frame.add(problem.pool[index])
            screen.add(problem.pool[index])
            if looks:
                screen.bounds()
        bounds.append(np.array(screen.bounds()))
    np.testing.assert_allclose(bounds[0], bounds[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("kind", ["normal", "steep-targets-in-pool", "rows-of-all-sizes"])
def test_compiled_loops_give_the_same_picks_of_blocks(kind, objective, monkeypatch):
    problem = make_blocks(kind, 1e-8, 4)
    monkeypatch.setattr(block_passes, "COMPILE_FROM", np.inf)
    plain = select_blocks(problem, objective, 8)
    monkeypatch.setattr(block_passes, "COMPILE_FROM", 0.0)
    assert indices(select_blocks(problem, objective, 8)) == indices(plain)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 5),
    height=st.integers(1, 9),
    n_targets=st.integers(0, 11),
    seed=st.integers(0, 10**6),
)
def test_compiled_systems_equal_plain_ones(n, height, n_targets, seed):
    g = np.random.default_rng(seed)
    rows = g.normal(size=(n, height, height + 2))
    S = rows @ rows.transpose(0, 2, 1) + np.eye(height)
    K = g.normal(size=(n, height, n_targets))
    results = []
    for loops in (block_passes.plain_loops(), block_passes.compiled_loops()):
        drop, size = np.empty((2, n, n_targets))
        loops.drops(S.copy(), K.copy(), drop, size)
        gain, root = np.empty((2, n))
        loops.log_det(S.copy(), gain, root)
        results.append((drop, size, gain, root))
    y = np.linalg.solve(S, K)
    expected = (
        (K * y).sum(axis=1),
        np.abs(y).sum(axis=1),
        np.linalg.slogdet(S)[1],
        np.sqrt(np.diagonal(np.linalg.inv(S), axis1=1, axis2=2)).sum(axis=1),
    )
    for result in results:
        for got, wanted in zip(result, expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


def test_loops_are_compiled_for_low_blocks_and_much_work():
    from prcli.numerics import block_kernels

    drops = block_passes.best_loops(7, 10**8, 10).drops
    assert drops is block_kernels.drops
    assert block_passes.best_loops(7, 10**3, 10).drops is block_passes.drops
    assert block_passes.best_loops(300, 10**8, 10).drops is block_passes.drops


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("limit", ["PART_ELEMENTS", "PART_CANDIDATES"])
def test_parts_of_a_group_do_not_matter(limit, objective, monkeypatch):
    problem = make_blocks("decaying", 1e-8, 5)
    whole = select_blocks(problem, objective, 8)
    monkeypatch.setattr(block_group, limit, 1)
    assert indices(select_blocks(problem, objective, 8)) == indices(whole)


@pytest.mark.parametrize("objective", sorted(BOUNDS))
def test_bounds_without_errors_are_the_gains(objective):
    g = np.random.default_rng(6)
    v, weights = g.uniform(0.1, 10.0, 5), np.full(5, 0.2)
    drop = g.uniform(0.0, 1.0, (4, 5)) * v
    gains = [OBJECTIVES[objective].gain(v, v - d, d, weights, 0.0) for d in drop]
    if objective == "mean-variance":
        drop = drop * weights
    lower, upper = BOUNDS[objective](drop, np.zeros_like(drop), v, weights, np.full(4, np.inf))
    np.testing.assert_allclose(lower, gains, rtol=1e-12)
    np.testing.assert_allclose(upper, gains, rtol=1e-12)


def test_blocks_that_overflow_are_refused():
    problem = make_blocks("normal", 1e-3, 7)
    problem.pool[4][1] *= 1e200
    with pytest.raises(FeatureError, match="overflow") as caught:
        select_blocks(problem, "mean-pr", 1)
    assert "candidate 4" in str(caught.value)


def test_threads_of_parts_have_one_thread_of_linear_algebra_each():
    seen = []
    for_each(lambda part: seen.append(granted_threads()), [1, 2, 3], 2)
    assert seen == [1, 1, 1]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_errors_in_a_thread_are_raised(n_threads):
    def fail(part):
        raise ZeroDivisionError(part)

    with pytest.raises(ZeroDivisionError, match="2"):
        for_each(fail, [2, 2, 2], n_threads)
