"""The determinant's screen looks at few candidates, and leaves out none that matters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import KINDS, REGULARIZERS, make_problem, posterior_of

from prcli.numerics import lazy_screen
from prcli.numerics.gate import closing
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.pickers import GreedyPicker
from prcli.numerics.posterior import TargetFrame
from prcli.numerics.row_source import ArrayRows
from prcli.records import Holding

PRECISIONS = ("float64", "float32", "none")


def picker_of(problem, n_to_select, precision="float64", **options):
    frame = TargetFrame(posterior_of(problem), problem.targets[:0])
    picker = GreedyPicker(
        ArrayRows(problem.pool, 100),
        frame,
        OBJECTIVES["log-det"],
        np.empty(0),
        n_to_select,
        holding=Holding(precision, "float64"),
        **options,
    )
    return picker, frame


def pick(picker, frame, n_to_select):
    picks = []
    for _ in range(n_to_select):
        effect, _ = picker.propose()
        frame.add(effect.rows, effect.step)
        picker.accept(effect)
        picks.append(effect.index)
    return picks


def eager_picks(problem, n_to_select, costs=None, barred=()):
    """Greedy picks from the variances of all candidates, by an inverse for each pick."""
    H = problem.rows.T @ problem.rows + problem.regularizer * np.eye(problem.pool.shape[1])
    closed, picks = set(barred), []
    for _ in range(n_to_select):
        gains = np.log1p(np.einsum("ci,ci->c", problem.pool @ np.linalg.inv(H), problem.pool))
        gains /= 1.0 if costs is None else costs
        gains[list(closed)] = -np.inf
        picks.append(int(gains.argmax()))
        closed.add(picks[-1])
        H += np.multiply.outer(problem.pool[picks[-1]], problem.pool[picks[-1]])
    return picks


def large_problem(seed=3, n_candidates=3000):
    return make_problem("decaying", 1e-3, seed, n_columns=20, n_rows=40, n_candidates=n_candidates)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_few_candidates_are_looked_at(precision):
    problem = large_problem()
    picker, frame = picker_of(problem, 30, precision)
    assert pick(picker, frame, 30) == eager_picks(problem, 30)
    looks = picker._screen.n_looks
    # Everybody once at the most where a store would have to be read row by row, and few else.
    assert looks < 0.25 * 30 * 3000
    assert picker.n_exact <= 2 * 30 + 4


def test_costs_decide_who_is_looked_at():
    problem = large_problem()
    costs = np.random.default_rng(0).uniform(0.1, 10.0, 3000)
    picker, frame = picker_of(problem, 20, costs=costs)
    assert pick(picker, frame, 20) == eager_picks(problem, 20, costs)
    assert picker._screen.n_looks < 0.25 * 20 * 3000


def test_closed_candidates_do_not_hold_up_the_bounds():
    problem = large_problem()
    barred = np.zeros(3000, dtype=bool)
    barred[eager_picks(problem, 200)] = True
    picker, frame = picker_of(problem, 20, gate=closing(barred))
    picks = pick(picker, frame, 20)
    assert picks == eager_picks(problem, 20, barred=np.flatnonzero(barred).tolist())
    assert not barred[picks].any()
    assert picker._screen.n_looks < 0.25 * 20 * 3000


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    regularizer=st.sampled_from(REGULARIZERS),
    seed=st.integers(0, 10**6),
    precision=st.sampled_from(PRECISIONS),
    first_look=st.integers(1, 8),
    share=st.sampled_from([0.0, 0.3, 2.0]),
)
def test_whoever_is_looked_at_first_the_picks_are_the_same(
    kind, regularizer, seed, precision, first_look, share
):
    problem = make_problem(kind, regularizer, seed, n_candidates=30)
    plain = pick(*picker_of(problem, 12), 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy_screen, "FIRST_LOOK", first_look)
        patch.setattr(lazy_screen, "_LARGE_SHARE", share)
        patch.setattr(lazy_screen, "_LARGE_SHARE_STREAMED", share)
        patch.setattr(lazy_screen, "LOOK_ELEMENTS", 13)
        assert pick(*picker_of(problem, 12, precision), 12) == plain
