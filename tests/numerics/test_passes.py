from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.numerics import kernels, passes
from prcli.numerics.objectives import OBJECTIVES
from prcli.numerics.passes import best_loops, compiled_loops, compiled_pass, plain_loops, plain_pass

NAMES = ["mean-pr", "mean-log-pr", "min-pr"]


def state(seed, n_candidates=9, n_targets=6, n_columns=4, decades=3.0):
    """Consistent coordinates, covariances and variances, and a pick among the candidates."""
    g = np.random.default_rng(seed)
    Z = g.normal(size=(n_candidates, n_columns)) * 10.0 ** g.uniform(-decades, decades)
    Z_targets = g.normal(size=(n_targets, n_columns)) * 10.0 ** g.uniform(-decades, decades)
    if n_targets > 1:
        Z_targets[-1] = Z[-1]
    z = Z[0]
    q = z @ z
    k = (Z_targets @ z) / np.sqrt(1.0 + q)
    weights = g.uniform(0.1, 1.0, n_targets)
    posterior = np.eye(n_columns) - np.multiply.outer(z, z) / (1.0 + q)
    q_fresh, v_fresh = np.sum(Z * Z, axis=1), np.sum(Z_targets**2, axis=1)
    roots = np.sqrt(np.multiply.outer(q_fresh, v_fresh))
    r = Z @ z / np.sqrt(1.0 + q)
    return SimpleNamespace(
        r=r,
        K=Z @ Z_targets.T / roots,
        k=k / np.sqrt(v_fresh),
        q_before=q_fresh.copy(),
        q=np.maximum(q_fresh - r * r, 0.0),
        q_fresh=q_fresh,
        v_fresh=v_fresh,
        roots=roots,
        v=np.einsum("ti,ij,tj->t", Z_targets, posterior, Z_targets),
        weights=weights / weights.sum(),
        worth=np.ones(n_candidates),
        K_after=Z @ posterior @ Z_targets.T,
    )


def run(apply, s, dtype=np.float64):
    K, q, out = s.K.astype(dtype), s.q_before.copy(), np.full((4, len(s.q)), np.nan)
    apply(s.r, K, s.k, q, s.q_fresh, s.v, s.v_fresh, s.weights, s.worth, out)
    np.testing.assert_allclose(q, s.q, atol=1e-15 * s.q_before.max())
    return K * s.roots, out


MAKERS = {"plain": plain_pass, "compiled": compiled_pass}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", NAMES)
def test_pass_applies_the_pick(name, maker):
    s = state(1, decades=0.0)
    K, _ = run(MAKERS[maker](name), s)
    np.testing.assert_allclose(K, s.K_after, atol=1e-13)


def gains_of(s, name, shift=0.0):
    """Gains by the objective itself, of relative drops that are `shift` larger."""
    result = []
    for c in range(len(s.q)):
        drop = s.K_after[c] ** 2 / (1.0 + s.q[c])
        drop = drop + shift * (s.v.max() if name == "min-pr" else s.v)
        result.append(OBJECTIVES[name].gain(s.v, s.v - drop, drop, s.weights, s.q[c]))
    return np.array(result)


@pytest.mark.parametrize("name", NAMES)
def test_pass_scores_by_the_objective(name):
    s = state(2, decades=0.0)
    _, out = run(plain_pass(name), s)
    np.testing.assert_array_equal(out[0], out[1])
    np.testing.assert_allclose(out[0], gains_of(s, name), rtol=1e-11)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(20))
def test_compiled_pass_scores_the_best_two_and_bounds_the_others(name, seed):
    s = state(seed, 1400, 12, 5, decades=0.5)
    s.worth = np.random.default_rng(seed).uniform(0.1, 1.0, len(s.q))
    s.worth[::7] = 0.0
    _, out = run(compiled_pass(name), s)
    gains = gains_of(s, name)
    assert np.all(out[0] <= gains * (1.0 + 1e-10))
    assert np.all(out[1] >= gains * (1.0 - 1e-10))
    merits = gains * s.worth
    exact = out[0] == out[1]
    for start in range(0, len(merits), kernels.RUN):
        best = start + np.argsort(merits[start : start + kernels.RUN])[-2:]
        assert exact[best].all()
        # Who is left inexact cannot even by its upper bound be among them.
        rest = start + np.flatnonzero(~exact[start : start + kernels.RUN])
        assert np.all(out[1, rest] * s.worth[rest] <= merits[best].min() * (1.0 + 1e-10))
    if name != "min-pr":
        assert not exact[::7].any()
        assert np.mean(exact) < 0.5


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", NAMES)
def test_third_row_bounds_the_derivative_of_the_gain(name, maker):
    s = state(3, decades=0.0)
    _, out = run(MAKERS[maker](name), s)
    error = 1e-6
    derivatives = (gains_of(s, name, error) - gains_of(s, name, -error)) / (2.0 * error)
    if name == "min-pr":
        np.testing.assert_allclose(out[2], derivatives, rtol=1e-4)
    else:
        assert np.all(derivatives * (1.0 - 1e-4) <= out[2])
        assert np.all(out[2] <= derivatives / out[3] ** 2)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", ["mean-pr", "mean-log-pr"])
def test_bounds_are_sharp_for_one_target(name, maker):
    s = state(3, n_targets=1, decades=0.0)
    _, out = run(MAKERS[maker](name), s)
    np.testing.assert_allclose(out[1], gains_of(s, name), rtol=1e-12)
    wanted = 1.0 / (s.v * out[3] ** 2) if name == "mean-pr" else 1.0 / out[3]
    np.testing.assert_allclose(out[2], wanted, rtol=1e-12)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", ["mean-pr", "mean-log-pr"])
def test_fourth_row_is_the_smallest_share_left(name, maker):
    s = state(4, decades=0.0)
    _, out = run(MAKERS[maker](name), s)
    left = 1.0 - s.K_after**2 / (1.0 + s.q)[:, None] / s.v
    np.testing.assert_allclose(out[3], left.min(axis=1), rtol=1e-10)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", NAMES)
def test_pass_works_on_float32_in_float64(name, maker):
    s = state(2, decades=0.0)
    s.K = s.K.astype(np.float32).astype(np.float64)
    K, out = run(MAKERS[maker](name), s, np.float32)
    whole, wanted = run(MAKERS[maker](name), s)
    # What is scored may be what has just been rounded.
    np.testing.assert_allclose(out, wanted, rtol=1e-13 if maker == "plain" else 1e-5)
    assert np.all(np.abs(K - whole) <= 2.0**-24 * np.abs(whole))
    assert np.any(K != whole)


def test_products_of_float32_rows_add_up_in_float64():
    g = np.random.default_rng(9)
    rows, others = g.normal(size=(50, 7)).astype(np.float32), g.normal(size=(2, 7))
    wanted = others @ rows.astype(np.float64).T
    for loops in (plain_loops("mean-pr"), compiled_loops("mean-pr")):
        np.testing.assert_allclose(loops.project(rows, others), wanted, rtol=1e-12, atol=1e-14)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n_candidates=st.integers(1, 40),
    n_targets=st.integers(1, 30),
    n_columns=st.integers(1, 7),
)
@pytest.mark.parametrize("name", NAMES)
def test_compiled_twin_equals_the_plain_one(name, seed, n_candidates, n_targets, n_columns):
    s = state(seed, n_candidates, n_targets, n_columns)
    plain, compiled = run(plain_pass(name), s), run(compiled_pass(name), s)
    assert np.all(np.abs(plain[0] - compiled[0]) <= 1e-14 * s.roots)
    # Scores of the same covariances: what rounding did above must not matter.
    again = SimpleNamespace(**vars(s))
    again.K = plain[0] / s.roots
    again.r, again.k, again.q_before = np.zeros_like(s.r), np.zeros_like(s.k), s.q
    left, right = run(plain_pass(name), again)[1], run(compiled_pass(name), again)[1]
    # Compiled logarithms are right to some 1e-12, far below what counts as a tie.
    rounding = 1e-14 * left[2] + 1e-11 * left[0]
    assert np.all(right[0] <= left[0] + rounding)
    assert np.all(right[1] >= left[1] - rounding)
    exact = right[0] == right[1]
    assert np.all(np.abs(left - right)[0, exact] <= rounding[exact])
    assert np.all(np.abs(left - right)[3] <= 1e-12 * left[3] + 1e-14)
    assert np.all(right[2] >= left[2] * (1.0 - 1e-12) - rounding / left[3])


@pytest.mark.parametrize("name", NAMES)
def test_compiled_twin_equals_the_plain_one_to_rounding_on_tame_data(name):
    s = state(5, 300, 50, 20, decades=0.0)
    plain, compiled = run(plain_pass(name), s), run(compiled_pass(name), s)
    np.testing.assert_allclose(plain[0], compiled[0], rtol=1e-12, atol=1e-12)
    exact = compiled[1][0] == compiled[1][1]
    np.testing.assert_allclose(plain[1][:, exact], compiled[1][:, exact], rtol=1e-12)
    assert exact.sum() >= 2


@pytest.mark.parametrize("name", NAMES)
def test_blocks_do_not_matter(name, monkeypatch):
    s = state(6, 23, 5)
    whole = run(plain_pass(name), s)
    monkeypatch.setattr(passes, "BLOCK_ELEMENTS", 20)
    for left, right in zip(whole, run(plain_pass(name), s), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-12)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", NAMES)
def test_candidate_of_zeros_gains_nothing(name, maker):
    s = state(7)
    s.r[3], s.K[3], s.q[3], s.q_before[3], s.q_fresh[3] = 0.0, 0.0, 0.0, 0.0, 0.0
    _, out = run(MAKERS[maker](name), s)
    assert out[0, 3] == 0.0
    assert out[1, 3] == 0.0
    assert out[3, 3] == 1.0


def test_large_work_is_compiled_and_small_work_is_not():
    assert best_loops("mean-pr", 10**6, 10**3) == compiled_loops("mean-pr")
    assert best_loops("mean-pr", 10**6, 10).score is not compiled_pass("mean-pr")


@pytest.mark.parametrize("n_others", [1, 2, 4, 6])
def test_products_in_pieces_are_those_of_all_rows(n_others, monkeypatch):
    monkeypatch.setattr(passes, "_PIECE_ELEMENTS", 12)
    g = np.random.default_rng(8)
    rows, others = g.normal(size=(23, 5)), g.normal(size=(n_others, 5))
    np.testing.assert_allclose(passes.project_rows(rows, others), others @ rows.T, rtol=1e-12)


@pytest.mark.parametrize("n_others", [1, 3])
def test_compiled_products_and_moves_equal_the_plain_ones(n_others):
    g = np.random.default_rng(5)
    rows, others = g.normal(size=(7, 5)), g.normal(size=(n_others, 5))
    direction, steps = g.normal(size=5), g.normal(size=7)
    plain, compiled = plain_loops("mean-pr"), compiled_loops("mean-pr")
    np.testing.assert_allclose(
        compiled.project(rows, others), plain.project(rows, others), rtol=1e-13, atol=1e-14
    )
    results = []
    for loops in (plain, compiled):
        moved, norms = rows.copy(), np.empty(7)
        loops.move(moved, direction, steps, norms)
        np.testing.assert_allclose(moved, rows - np.outer(steps, direction), atol=1e-14)
        np.testing.assert_allclose(norms, (moved**2).sum(axis=1), rtol=1e-13)
        results.append(moved)
    np.testing.assert_allclose(*results, atol=1e-15)


def test_compiled_bounds_equal_the_plain_ones():
    g = np.random.default_rng(6)
    scores, q = g.uniform(0.0, 1.0, (4, 9)), g.uniform(0.0, 5.0, 9)
    scores[1] += scores[0]
    scores[3, 4], worth = 1e-12, g.uniform(0.1, 2.0, 9)
    worth[[2, 4]] = 0.0, 0.5
    results = []
    for loops in (plain_loops("mean-pr"), compiled_loops("mean-pr")):
        bounds = np.empty((2, 9))
        unclear = loops.bound(scores, q, q + 1.0, 1e-9, 3.0, worth, bounds)
        assert np.flatnonzero(unclear).tolist() == [4]
        assert np.isneginf(bounds[:, 2]).all()
        results.append(bounds)
    np.testing.assert_allclose(*results, rtol=1e-14)
    assert np.all(results[0][0] <= scores[0] * worth)
    assert np.all((results[0][1] >= scores[1] * worth)[worth > 0.0])
