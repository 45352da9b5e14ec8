from __future__ import annotations

import numpy as np
import pytest
from block_problems import (
    BLOCK_KINDS,
    BlockProblem,
    ExactBlockSelection,
    block_posterior,
    block_problems,
    make_blocks,
)
from hypothesis import given, settings
from oracles import known
from problems import OBJECTIVE_NAMES, REGULARIZERS

from prcli.numerics.block_effects import at_most_square, block_effect, factorized_effect
from prcli.numerics.greedy import normalized
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.posterior import TargetFrame
from prcli.numerics.rigidity import whiten


def effects_of(problem, objective="mean-log-pr"):
    """Effects of all blocks, and the targets that they refer to."""
    frame = TargetFrame(block_posterior(problem), problem.targets)
    weights = normalized(None, len(problem.targets))
    effects = [
        block_effect(
            frame,
            OBJECTIVES[objective],
            weights,
            index,
            rows,
            at_most_square(whiten(rows, frame.factor)),
        )
        for index, rows in enumerate(problem.pool)
    ]
    return effects, frame, weights


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("kind", BLOCK_KINDS)
def test_effects_of_blocks_are_exact(kind, regularizer):
    # What is left of a variance is as accurate as one from a factorization with the block.
    problem = make_blocks(kind, regularizer, 1)
    effects, _, _ = effects_of(problem)
    for effect, (log_det, new) in zip(
        effects, ExactBlockSelection(problem).effects(), strict=True
    ):
        np.testing.assert_allclose(effect.v_new, [known(v) for v in new], rtol=1e-8)
        assert effect.log_det == pytest.approx(known(log_det), rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(problem=block_problems())
def test_drops_of_blocks_are_exact_however_small(problem):
    problem = BlockProblem(
        problem.rows,
        problem.targets,
        [1e-9 * block for block in problem.pool],
        max(problem.regularizer, 1e-5),
    )
    effects, frame, weights = effects_of(problem, "mean-variance")
    exact = ExactBlockSelection(problem)
    gains = exact.gains("mean-variance")
    for effect, gain in zip(effects, gains, strict=True):
        assert effect.gain == pytest.approx(known(gain), rel=1e-7, abs=1e-22 * frame.v.max())
    for effect, (log_det, _) in zip(effects, exact.effects(), strict=True):
        assert effect.log_det == pytest.approx(known(log_det), rel=1e-7, abs=1e-22)


@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_adding_a_block_is_a_factorization_from_scratch(objective):
    problem = make_blocks("normal", 1e-3, 2)
    effects, frame, weights = effects_of(problem, objective)
    for effect, block in zip(effects, problem.pool, strict=True):
        after = TargetFrame(
            block_posterior(
                BlockProblem(
                    np.concatenate([problem.rows, block]), problem.targets, [], 1e-3
                )
            ),
            problem.targets,
        )
        np.testing.assert_allclose(effect.v_new, after.v, rtol=1e-9)
        growth = np.linalg.slogdet(after.factor)[1] - np.linalg.slogdet(frame.factor)[1]
        assert effect.log_det == pytest.approx(2.0 * growth, rel=1e-9, abs=1e-12)
        value = OBJECTIVES[objective].value
        gain = (
            effect.log_det
            if objective == "log-det"
            else value(after.v, weights) - value(frame.v, weights)
        )
        assert effect.gain == pytest.approx(gain, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("objective", ["mean-pr", "mean-log-pr", "min-pr"])
@pytest.mark.parametrize("kind", ["targets-spanned", "targets-nearly-spanned", "normal"])
def test_factorizations_agree_with_effects(kind, objective):
    problem = make_blocks(kind, 1e-8, 3)
    effects, frame, weights = effects_of(problem, objective)
    for effect in effects:
        other = factorized_effect(frame, OBJECTIVES[objective], weights, effect)
        np.testing.assert_allclose(other.v_new, effect.v_new, rtol=1e-9)
        assert other.gain == pytest.approx(effect.gain, rel=1e-9)
        assert other.uncertainty == 0.0


@pytest.mark.parametrize("shape", [(9, 6), (6, 6), (2, 6), (0, 6), (30, 1)])
def test_reduced_blocks_keep_their_products(shape):
    rows = np.random.default_rng(4).normal(size=shape) * np.logspace(5, -5, shape[0])[:, np.newaxis]
    reduced = at_most_square(rows)
    assert len(reduced) == min(shape)
    np.testing.assert_allclose(reduced.T @ reduced, rows.T @ rows, rtol=1e-12)
