from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import ExactSelection, known, resolution_of
from problems import OBJECTIVE_NAMES, make_problem, posterior_of, problems, select

from prcli.errors import FeatureError
from prcli.numerics.greedy import normalized
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.passes import compiled_loops
from prcli.numerics.pickers import GreedyPicker
from prcli.numerics.pool_frame import PoolFrame
from prcli.numerics.posterior import Posterior, TargetFrame
from prcli.numerics.row_source import ArrayRows

CROSS = [name for name in OBJECTIVE_NAMES if OBJECTIVES[name].needs_cross]


def unresolved(screen):
    """Relative change of gains by the rounding of the factor that a screen works with."""
    return 1e-9 + 20.0 * np.finfo(float).eps * screen.frame._condition


def compile_screen(screen, objective, targets):
    """Let the compiled loops do the work."""
    loops = compiled_loops(objective)
    screen._loops = screen._covariances._loops = loops
    screen.frame._coordinates._project = loops.project
    targets.use(loops)


@settings(deadline=None, max_examples=40)
@given(problem=problems(), compiled=st.booleans())
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_bounds_contain_the_exact_gains(objective, problem, compiled):
    weights = normalized(None, len(problem.targets))
    frame = TargetFrame(posterior_of(problem), problem.targets)
    picker = GreedyPicker(ArrayRows(problem.pool), frame, OBJECTIVES[objective], weights, 6)
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
def test_bounds_are_tight_on_tame_data(objective):
    problem = make_problem("normal", 1e-2, 23, n_candidates=200)
    result = select(problem, objective, 20)
    # The best and its runner-up each time, and hardly ever anybody else.
    assert result.n_exact <= 2 * 20 + 4
    assert result.n_whitenings == 0


def test_variances_never_become_negative():
    rng = np.random.default_rng(1)
    targets = TargetFrame(Posterior(np.eye(3), np.ones(3), 1.0), np.empty((0, 3)))
    frame = PoolFrame(ArrayRows(rng.normal(size=(9, 3))), targets)
    frame.whiten()
    out = np.empty(9)
    frame.project(10.0 * np.ones(3), out)
    frame.shrink(slice(None), out)
    assert frame.q.min() == 0.0
    np.testing.assert_allclose(out**2 >= frame.q_fresh, frame.q == 0.0)


@pytest.mark.parametrize("factor", [1e80, 1e200])
def test_candidates_that_overflow_are_refused(factor):
    rng = np.random.default_rng(0)
    posterior = Posterior(np.linalg.qr(rng.normal(size=(9, 3)), mode="r"), np.ones(3), 1e-3)
    pool = rng.normal(size=(9, 3))
    pool[4] *= factor
    with pytest.raises(FeatureError, match="overflow") as caught:
        PoolFrame(ArrayRows(pool), TargetFrame(posterior, pool[:0])).whiten()
    assert "candidate 4" in str(caught.value)
