from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from block_problems import block_posterior, block_source, make_blocks
from problems import OBJECTIVE_NAMES

from prcli.numerics import block_picker
from prcli.numerics.block_cost import block_cost
from prcli.numerics.block_picker import BlockPicker
from prcli.numerics.block_source import ArrayBlocks
from prcli.numerics.gate import closing
from prcli.numerics.greedy import normalized
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import Posterior, TargetFrame


@pytest.mark.parametrize("n_targets", [3, 9])
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_cost_counts_the_arrays_that_are_held(objective, n_targets):
    problem = make_blocks("normal", 1e-3, 1, n_targets=n_targets)
    state, weights = block_posterior(problem), normalized(None, n_targets)
    frame = TargetFrame(state, problem.targets)
    source = block_source(problem)
    picker = BlockPicker(source, frame, OBJECTIVES[objective], weights, 1)
    cost = block_cost(source.heights, 6, n_targets, OBJECTIVES[objective], 2)
    groups = picker._screen.frame.groups
    for name in ("rows", "gram", "covariances"):
        assert getattr(cost, name) == sum(getattr(group, name).nbytes for group in groups)
    assert cost.held == cost.rows + cost.gram + cost.covariances


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
@pytest.mark.parametrize("height", [7, 60])
def test_cost_is_an_upper_bound_of_the_memory(height, objective, monkeypatch):
    monkeypatch.setattr(block_picker, "BATCH_ELEMENTS", 1)
    n_columns, n_targets, n_blocks = 80, 30, 5_000 // height
    g = np.random.default_rng(2)
    rows = g.normal(size=(height * n_blocks, n_columns))
    source = ArrayBlocks(rows, np.full(n_blocks, height), block_rows=64)
    state = Posterior(np.eye(n_columns), np.ones(n_columns), 1e-2)
    frame = TargetFrame(state, g.normal(size=(n_targets, n_columns)))
    cost = block_cost(source.heights, n_columns, n_targets, OBJECTIVES[objective], 2)
    tracemalloc.start()
    try:
        picker = BlockPicker(
            source,
            frame,
            OBJECTIVES[objective],
            normalized(None, n_targets),
            3,
            n_threads=2,
        )
        for _ in range(3):
            effect, _ = picker.propose()
            frame.add(effect.rows)
            picker.accept(effect)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert cost.held < peak < cost.held + cost.work + (1 << 20)


def test_excluded_blocks_are_not_held():
    problem = make_blocks("normal", 1e-3, 1)
    excluded = np.arange(len(problem.pool)) % 2 == 0
    weights = normalized(None, len(problem.targets))
    picker = BlockPicker(
        block_source(problem),
        TargetFrame(block_posterior(problem), problem.targets),
        OBJECTIVES["mean-pr"],
        weights,
        1,
        closing(excluded),
    )
    held = np.concatenate([group.members for group in picker._screen.frame.groups])
    heights = np.array([len(block) for block in problem.pool])
    assert sorted(held) == np.flatnonzero(~excluded & (heights > 0)).tolist()


def test_cost_of_an_empty_pool_is_nothing_held():
    cost = block_cost(np.zeros(3, dtype=int), 5, 4, OBJECTIVES["mean-pr"], 1)
    assert (cost.held, cost.whitening, cost.pick) == (0, 0.0, 0.0)


def test_cost_counts_operations():
    # Two blocks of two rows, three columns, one target.
    cost = block_cost(np.array([2, 2]), 3, 1, OBJECTIVES["mean-pr"], 1)
    assert cost.whitening == 2 * (2 * 9 + 2 * 3 * (2 * 2 + 2 * 1))
    assert cost.pick == pytest.approx(2 * (2 * 2 * 2 * (3 + 2 + 1) + 4 * (4 / 3 + 2)))
