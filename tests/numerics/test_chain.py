from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.numerics import chain as chain_module
from prcli.numerics.chain import Chain
from prcli.numerics.kernels import turn_rows

TURNS = {"plain": None, "compiled": turn_rows}
each_turn = pytest.mark.parametrize("turn", TURNS)


def chain_of(picks, turn):
    """Chain of whitened picks, (n, D)."""
    chain = Chain(picks.shape[1], TURNS[turn])
    for whitened in picks:
        z = chain.apply(whitened)
        chain.append(z, z @ z)
    return chain


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n_picks=st.integers(0, 20),
    n_columns=st.integers(1, 8),
    n_rows=st.integers(1, 6),
)
@each_turn
def test_products_equal_posterior_covariances(turn, seed, n_picks, n_columns, n_rows):
    g = np.random.default_rng(seed)
    picks, rows = g.normal(size=(n_picks, n_columns)), g.normal(size=(n_rows, n_columns))
    chain = chain_of(picks, turn)
    assert len(chain) == n_picks
    now, H = chain.apply(rows), np.eye(n_columns) + picks.T @ picks
    np.testing.assert_allclose(now @ now.T, rows @ np.linalg.inv(H) @ rows.T, atol=1e-12)


@each_turn
@pytest.mark.parametrize("n_rows", [1, 6])
def test_transposed_chain_is_the_adjoint(turn, n_rows):
    g = np.random.default_rng(1)
    chain = chain_of(g.normal(size=(11, 5)), turn)
    rows, others = g.normal(size=(2, n_rows, 5))
    for n_picks in (None, 0, 4):
        forth, back = chain.apply(rows, n_picks), chain.apply_transposed(others, n_picks)
        np.testing.assert_allclose(forth @ others.T, rows @ back.T, rtol=1e-11, atol=1e-14)


def test_compiled_loop_equals_matrix_products():
    g = np.random.default_rng(2)
    picks, rows = g.normal(size=(30, 7)), g.normal(size=(2, 7))
    plain, compiled = chain_of(picks, "plain"), chain_of(picks, "compiled")
    for n_picks in (None, 9, 20, 0):
        for name in ("apply", "apply_transposed"):
            found = getattr(compiled, name)(rows, n_picks)
            np.testing.assert_allclose(found, getattr(plain, name)(rows, n_picks), atol=1e-14)
    # Few rows and many in turns, by the same chain.
    np.testing.assert_allclose(
        compiled.apply(np.tile(rows, (4, 1)))[:2], compiled.apply(rows), atol=1e-14
    )


@each_turn
def test_first_picks_are_those_of_a_shorter_chain(turn):
    g = np.random.default_rng(3)
    picks, rows = g.normal(size=(12, 5)), g.normal(size=(2, 5))
    short, long = chain_of(picks[:7], turn), chain_of(picks, turn)
    np.testing.assert_array_equal(long.apply(rows, 7), short.apply(rows))


@each_turn
def test_pick_brought_back_multiplies_rows_as_whitened(turn):
    g = np.random.default_rng(4)
    picks, rows = g.normal(size=(9, 5)), g.normal(size=(3, 5))
    before, after = chain_of(picks[:8], turn), chain_of(picks, turn)
    wanted = before.apply(rows) @ before.apply(picks[8])
    np.testing.assert_allclose(rows @ after.brought_back, wanted, atol=1e-14)


@each_turn
def test_rows_are_left_alone(turn):
    g = np.random.default_rng(5)
    chain, rows = chain_of(g.normal(size=(9, 5)), turn), g.normal(size=(2, 5))
    kept = rows.copy()
    chain.apply(rows)
    chain.apply_transposed(rows[0])
    assert np.array_equal(rows, kept)


@each_turn
def test_chain_takes_a_pick_of_zeros(turn):
    chain = Chain(3, TURNS[turn])
    chain.append(np.zeros(3), 0.0)
    assert np.array_equal(chain.apply(np.eye(3)), np.eye(3))


def test_last_factor_is_that_of_the_last_pick():
    chain = Chain(2)
    chain.append(np.array([0.0, 2.0]), 4.0)
    u, beta = chain.last()
    assert u.tolist() == [0.0, 1.0]
    assert beta == pytest.approx(1.0 - 1.0 / np.sqrt(5.0), rel=1e-15)


@each_turn
@pytest.mark.parametrize("n_picks", [30, 31, 32])
def test_factors_that_are_multiplied_out_change_nothing(turn, n_picks, monkeypatch):
    g = np.random.default_rng(6)
    picks, rows = g.normal(size=(n_picks, 5)), g.normal(size=(6, 5))
    kept = chain_of(picks, turn)
    monkeypatch.setattr(chain_module, "MOST_FACTORS", 3)
    multiplied = chain_of(picks, turn)
    assert len(multiplied) == len(kept) == n_picks
    np.testing.assert_allclose(multiplied.brought_back, kept.brought_back, atol=1e-14)
    for some in (rows, rows[0]):
        for n in (None, n_picks - 1):
            for name in ("apply", "apply_transposed"):
                found = getattr(multiplied, name)(some, n)
                np.testing.assert_allclose(found, getattr(kept, name)(some, n), atol=1e-14)
    with pytest.raises(ValueError, match="multiplied out"):
        multiplied.apply(rows, 4)


@each_turn
def test_many_picks_take_no_more_memory_than_some(turn):
    g = np.random.default_rng(7)
    chain = chain_of(g.normal(size=(3 * chain_module.MOST_FACTORS, 2)), turn)
    chain.apply(np.eye(2, 2)[np.zeros(9, dtype=int)])
    held = [each for each in vars(chain).values() if isinstance(each, np.ndarray)]
    assert max(each.size for each in held) <= chain_module.MOST_FACTORS**2
