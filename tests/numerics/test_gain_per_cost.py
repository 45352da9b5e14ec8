"""Greedy searches by gain per cost, within a budget, against gains by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from block_problems import block_posterior, block_source, brute_block_gains, make_blocks
from oracles import TIE, brute_gains
from problems import OBJECTIVE_NAMES, indices, make_problem, posterior_of

from prcli.numerics import pickers
from prcli.numerics.block_picker import BlockPicker
from prcli.numerics.gate import Gate
from prcli.numerics.greedy import normalized, run_selection
from prcli.numerics.limits import Group, Limits
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.pickers import GreedyPicker
from prcli.numerics.posterior import TargetFrame
from prcli.numerics.row_source import ArrayRows

KINDS = ("normal", "decaying", "duplicates", "targets-in-pool")


def costs_for(n_candidates, seed):
    return np.random.default_rng(seed).integers(1, 30, n_candidates).astype(float)


def search(problem, objective, limits, *, blocks, by_cost):
    state = block_posterior(problem) if blocks else posterior_of(problem)
    weights = normalized(None, len(problem.targets))
    frame = TargetFrame(state, problem.targets)
    pool = block_source(problem) if blocks else ArrayRows(problem.pool, block_rows=7)
    gate = Gate(limits)
    make = BlockPicker if blocks else GreedyPicker
    picker = make(
        pool,
        frame,
        OBJECTIVES[objective],
        weights,
        limits.n_to_select,
        gate,
        costs=limits.costs if by_cost else None,
    )
    return run_selection(
        picker, frame, OBJECTIVES[objective], weights, limits.n_to_select, gate=gate
    )


def brute_search(problem, objective, limits, gains_of, *, by_cost):
    """Picks, where the gate is asked but everything else is done by factorizations."""
    rows, picks, gate = problem.rows, [], Gate(limits)
    while not gate.is_shut:
        gains = gains_of(objective, rows)
        merits = gains / limits.costs if by_cost else gains
        merits[gate.closed] = -np.inf
        best = merits.max()
        picks.append(int(np.flatnonzero(merits >= best - TIE * abs(best))[0]))
        gate.accept(picks[-1])
        rows = np.concatenate([rows, np.atleast_2d(problem.pool[picks[-1]])])
    return picks


@pytest.mark.parametrize("by_cost", [True, False])
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_picks_within_a_budget_equal_those_of_brute_force(kind, objective, by_cost, monkeypatch):
    # Batches of a shortlist must not forget the costs of finalists.
    monkeypatch.setattr(pickers, "_BATCH_ELEMENTS", 1)
    problem = make_problem(kind, 1e-5, 3)
    costs = costs_for(len(problem.pool), 1)
    limits = Limits(np.zeros(len(costs), dtype=bool), 14, costs=costs, budget=60.0)

    def gains_of(objective, rows):
        return brute_gains(objective, rows, problem.targets, problem.pool, problem.regularizer)

    result = search(problem, objective, limits, blocks=False, by_cost=by_cost)
    assert indices(result) == brute_search(problem, objective, limits, gains_of, by_cost=by_cost)
    assert costs[indices(result)].sum() <= 60.0
    assert result.stopped == "budget"


@pytest.mark.parametrize("by_cost", [True, False])
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("kind", ["normal", "decaying", "targets-spanned"])
def test_blocks_within_a_budget_equal_those_of_brute_force(kind, objective, by_cost):
    problem = make_blocks(kind, 1e-5, 3)
    costs = costs_for(len(problem.pool), 2)
    members = np.arange(len(costs)) % 3 == 0
    limits = Limits(
        np.zeros(len(costs), dtype=bool),
        10,
        costs=costs,
        budget=70.0,
        groups=(Group("third", members, 1, 2),),
    )

    def gains_of(objective, rows):
        return brute_block_gains(objective, rows, problem)

    result = search(problem, objective, limits, blocks=True, by_cost=by_cost)
    assert indices(result) == brute_search(problem, objective, limits, gains_of, by_cost=by_cost)
    assert 1 <= members[indices(result)].sum() <= 2


def test_margin_is_the_lead_in_gain_per_cost():
    problem = make_problem("normal", 1e-5, 5)
    costs = costs_for(len(problem.pool), 6)
    limits = Limits(np.zeros(len(costs), dtype=bool), 1, costs=costs)
    first = search(problem, "mean-pr", limits, blocks=False, by_cost=True).picks[0]
    gains = brute_gains("mean-pr", problem.rows, problem.targets, problem.pool, problem.regularizer)
    best, second = np.sort(gains / costs)[::-1][:2]
    assert first.gain == pytest.approx(gains[first.index], rel=1e-9)
    assert first.margin == pytest.approx(1.0 - second / best, rel=1e-6)
