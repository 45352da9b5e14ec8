from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.numerics import backward
from prcli.numerics.backward import BackwardElimination, downdated
from prcli.numerics.block_source import ArrayBlocks
from prcli.numerics.posterior import Posterior
from prcli.numerics.remaining_rows import RemainingRows
from prcli.numerics.removal_bounds import OutsideBound
from prcli.numerics.removal_check import check_removals
from prcli.numerics.removal_frame import RemovalFrame
from prcli.numerics.removal_objectives import REMOVAL_OBJECTIVES
from prcli.numerics.rigidity import squared_norms, whiten

OBJECTIVES = sorted(REMOVAL_OBJECTIVES)
MEANS = {
    "mean-pr": lambda v, w: np.sum(w / v),
    "mean-log-pr": lambda v, w: np.exp(-np.sum(w * np.log(v))),
    "mean-variance": lambda v, w: 1 / np.sum(w * v),
}


def inverse_rigidities(blocks, targets, regularizer):
    """By a QR factorization of all rows."""
    n_columns = targets.shape[1]
    R = np.linalg.qr(np.concatenate([*blocks, np.sqrt(regularizer) * np.eye(n_columns)]), "r")
    return np.sum(np.linalg.solve(R.T, targets.T) ** 2, axis=0)


def brute_force(blocks, targets, regularizer, name, weights, n_to_keep):
    """Backward elimination with a factorization for every structure at every step."""
    left, gone, means = list(range(len(blocks))), [], []
    while len(left) > n_to_keep:
        found = []
        for i in left:
            rest = [blocks[j] for j in left if j != i]
            found.append(MEANS[name](inverse_rigidities(rest, targets, regularizer), weights))
        best = max(found)
        index = max(i for i, mean in zip(left, found, strict=True) if mean >= best * (1 - 1e-12))
        left.remove(index)
        gone.append(index)
        means.append(best)
    return gone, means


def structures(seed, n, n_columns, tall):
    """Rows with a common mean and variances that fall, one or several for each structure."""
    g = np.random.default_rng(seed)
    spread = np.logspace(0, -2, n_columns)
    heights = g.integers(0, 4, size=n) if tall else np.ones(n, dtype=int)
    blocks = [g.normal(size=(h, n_columns)) * spread + 2 * np.eye(n_columns)[0] for h in heights]
    targets = g.normal(size=(4, n_columns)) * spread + 2 * np.eye(n_columns)[0]
    weights = g.uniform(0.5, 1.0, size=4)
    return blocks, targets, weights / weights.sum()


def rows_of(blocks, n_columns, regularizer, fixed=None):
    fixed = np.zeros((n_columns, n_columns)) if fixed is None else fixed
    source = ArrayBlocks.from_blocks(blocks, n_columns, block_rows=5)
    return RemainingRows(source, fixed, np.ones(n_columns), regularizer)


def remove(blocks, targets, regularizer, name, weights, n_to_keep, **options):
    rows = rows_of(blocks, targets.shape[1], regularizer)
    search = BackwardElimination(rows, targets, REMOVAL_OBJECTIVES[name], weights)
    return search.run(n_to_keep, **options)


@pytest.fixture
def short(monkeypatch):
    """Shortlists of a few structures, so that bounds decide."""
    monkeypatch.setattr(backward, "SHORTLIST_ELEMENTS", 60)
    monkeypatch.setattr(backward, "_SHORTEST", 2)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.usefixtures("short")
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(4, 24),
    n_columns=st.integers(2, 7),
    exponent=st.integers(-6, 0),
)
def test_removals_are_those_of_brute_force(name, tall, seed, n, n_columns, exponent):
    blocks, targets, weights = structures(seed, n, n_columns, tall)
    expected, means = brute_force(blocks, targets, 10.0**exponent, name, weights, 2)
    found = remove(blocks, targets, 10.0**exponent, name, weights, 2)
    assert list(found.indices) == expected
    np.testing.assert_allclose(found.means, means, rtol=1e-7)
    assert found.stopped == "n_to_keep"


def test_one_shortlist_of_all_gives_the_same_as_many_short_ones(monkeypatch):
    blocks, targets, weights = structures(3, 60, 5, False)
    long = remove(blocks, targets, 1e-4, "mean-pr", weights, 5)
    monkeypatch.setattr(backward, "SHORTLIST_ELEMENTS", 60)
    monkeypatch.setattr(backward, "_SHORTEST", 2)
    short = remove(blocks, targets, 1e-4, "mean-pr", weights, 5)
    assert long.n_rounds < short.n_rounds
    assert long.indices == short.indices


def test_loss_stays_within_what_is_allowed_and_one_more_would_not():
    blocks, targets, weights = structures(5, 30, 4, False)
    found = remove(blocks, targets, 1e-3, "mean-pr", weights, 1, max_loss=0.1)
    order, means = brute_force(blocks, targets, 1e-3, "mean-pr", weights, 1)
    allowed = 0.9 * MEANS["mean-pr"](inverse_rigidities(blocks, targets, 1e-3), weights)
    n = sum(mean >= allowed for mean in means)
    assert found.stopped == "max_loss"
    assert list(found.indices) == order[:n]
    assert 0 < n < 29


def test_of_equal_structures_the_last_goes():
    blocks, targets, weights = structures(6, 6, 3, False)
    blocks = [blocks[0], blocks[1], blocks[0], blocks[2], blocks[0]]
    gone = list(remove(blocks, targets, 1e-3, "mean-pr", weights, 1).indices)
    copies = [i for i in gone if i in (0, 2, 4)]
    assert copies == sorted(copies, reverse=True)


def test_structures_of_no_weight_go_first():
    blocks, targets, weights = structures(7, 8, 3, False)
    blocks[1], blocks[5] = np.zeros((1, 3)), np.empty((0, 3))
    assert remove(blocks, targets, 1e-3, "mean-pr", weights, 6).indices == (5, 1)


def test_without_a_prior_what_is_needed_stays():
    blocks = [np.eye(3)[:1], np.eye(3)[1:2], np.eye(3)[2:], np.full((1, 3), 0.1)]
    found = remove(blocks, np.eye(3), 0.0, "mean-pr", np.full(3, 1 / 3), 1)
    assert found.indices == (3,)
    assert found.stopped == "needed"


def test_rows_that_stay_count():
    blocks, targets, weights = structures(8, 12, 4, False)
    fixed = np.linalg.qr(np.concatenate(blocks[8:]), "r")
    fixed = np.pad(fixed, ((0, 4 - len(fixed)), (0, 0)))
    rows = rows_of(blocks[:8], 4, 1e-3, fixed)
    found = BackwardElimination(rows, targets, REMOVAL_OBJECTIVES["mean-pr"], weights).run(3)
    stays = blocks[8:]
    left = list(range(8))
    for index, mean in zip(found.indices, found.means, strict=True):
        left.remove(index)
        v = inverse_rigidities([blocks[i] for i in left] + stays, targets, 1e-3)
        assert mean == pytest.approx(MEANS["mean-pr"](v, weights), rel=1e-9)


def test_downdated_factor_is_that_of_the_rows_left():
    g = np.random.default_rng(9)
    rows = g.normal(size=(40, 5))
    factor = Posterior(np.linalg.qr(rows, "r"), np.ones(5), 1e-6).factor()
    gone = whiten(rows[:5], factor)
    left = Posterior(np.linalg.qr(rows[5:], "r"), np.ones(5), 1e-6).factor()
    found = downdated(factor, [gone[:2], gone[2:]])
    np.testing.assert_allclose(found.T @ found, left.T @ left, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), n_gone=st.integers(1, 8))
def test_no_structure_outside_loses_less_than_the_bound(name, seed, n_gone):
    g = np.random.default_rng(seed)
    rows, targets = g.normal(size=(40, 4)), g.normal(size=(6, 4))
    weights = np.full(6, 1 / 6)
    objective = REMOVAL_OBJECTIVES[name]
    factor = np.linalg.qr(rows, "r")
    z, z_targets = whiten(rows, factor), whiten(targets, factor)
    importance = objective.importance(squared_norms(z_targets), weights)
    compressed = np.sqrt(importance)[:, np.newaxis] * z_targets
    outside = OutsideBound(squared_norms(z[20:] @ compressed.T), squared_norms(z[20:]))
    frame = RemovalFrame(np.arange(20), z[:20], [1] * 20, z_targets, compressed, objective, weights)
    for _ in range(n_gone):
        members, losses = frame.losses(0.0)
        frame.remove(int(members[np.argmin(losses)]))
    whole = RemovalFrame(np.arange(20), z[20:], [1] * 20, z_targets, compressed, objective, weights)
    P = np.linalg.inv(np.eye(4) - sum(row.T @ row for row in frame.removed))
    v = np.einsum("ti,ij,tj->t", z_targets, P, z_targets)
    np.testing.assert_allclose(frame.v, v, rtol=1e-12)
    k, q = z[20:] @ P @ z_targets.T, np.einsum("ci,ij,cj->c", z[20:], P, z[20:])
    losses = objective.loss(v, k * k / (1 - q)[:, np.newaxis], weights)
    loose = outside.least(*frame.change())
    assert frame.growth >= np.linalg.norm(P - np.eye(4), 2) * (1 - 1e-9)
    frame.tighten()
    tight = outside.least(*frame.change())
    assert frame.growth == pytest.approx(np.linalg.norm(P - np.eye(4), 2), rel=1e-9)
    assert max(loose, tight) <= losses.min() * (1 + 1e-9)
    assert outside.least(1.0, 0.0) <= whole.losses(0.0)[1].min()


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 30),
    share=st.floats(0.1, 1.0),
    shift=st.floats(0.0, 3.0),
)
def test_bound_is_the_least_of_all_lines(seed, n, share, shift):
    g = np.random.default_rng(seed)
    # Few values, so that some are equal.
    a_squared, q = g.integers(0, 5, n).astype(float), g.integers(0, 5, n) / 5.0
    lines = share * np.sqrt(a_squared) - shift * np.sqrt(q)
    expected = max(lines.min(), 0.0) ** 2
    assert OutsideBound(a_squared, q).least(share, shift) == pytest.approx(expected, abs=1e-12)


def test_nothing_outside_bounds_nothing():
    assert OutsideBound(np.empty(0), np.empty(0)).least(1.0, 1.0) == np.inf


@pytest.mark.parametrize("tall", [False, True])
def test_states_after_removals_are_those_of_fresh_factorizations(tall):
    blocks, targets, weights = structures(10, 14, 4, tall)
    found = remove(blocks, targets, 1e-4, "mean-log-pr", weights, 5)
    left = [i for i in range(14) if i not in found.indices]
    rows = rows_of(blocks, 4, 1e-4)
    rows.kept[list(found.indices)] = False
    states = check_removals(
        rows.posterior(),
        targets,
        found.indices,
        rows.take,
        REMOVAL_OBJECTIVES["mean-log-pr"],
        weights,
    )
    left = list(range(14))
    for step, index in enumerate([None, *found.indices]):
        if index is not None:
            left.remove(index)
        v = inverse_rigidities([blocks[i] for i in left], targets, 1e-4)
        assert states.mean[step] == pytest.approx(MEANS["mean-log-pr"](v, weights), rel=1e-9)
        assert states.pr_mean[step] == pytest.approx(np.sum(weights / v), rel=1e-9)
        assert states.pr_min[step] == pytest.approx(1 / v.max(), rel=1e-9)
        assert states.pr_max[step] == pytest.approx(1 / v.min(), rel=1e-9)
    np.testing.assert_allclose(states.v_after, v, rtol=1e-9)
