from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.numerics.components import ComponentFactors, component_rows
from prcli.numerics.rigidity import rigidities
from prcli.numerics.square_root import with_prior

widths = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def slices(block_widths: list[int]) -> tuple[slice, ...]:
    ends = np.cumsum(block_widths).tolist()
    return tuple(slice(end - width, end) for width, end in zip(block_widths, ends, strict=True))


def problem(n_columns: int, seed: int, regularizer: float = 0.1) -> tuple[np.ndarray, ...]:
    """Training rows, rows to score, and R."""
    rng = np.random.default_rng(seed)
    train, rows = rng.normal(size=(2 * n_columns, n_columns)), rng.normal(size=(6, n_columns))
    factor = with_prior(np.linalg.qr(train, mode="r"), np.ones(n_columns), regularizer)
    return train, rows, factor


@given(widths=widths, n_more=st.integers(0, 2), seed=st.integers(0, 1000))
def test_rigidities_are_those_of_masked_rows_and_the_inverse(widths, n_more, seed):
    # Columns behind all blocks are those of an intercept.
    n_columns = sum(widths) + n_more
    train, rows, factor = problem(n_columns, seed)
    inverse = np.linalg.inv(train.T @ train + 0.1 * np.eye(n_columns))
    found = ComponentFactors(factor, slices(widths)).rigidities(rows)
    assert found.shape == (6, len(widths))
    for i, g in enumerate(rows):
        for k, block in enumerate(slices(widths)):
            masked = np.zeros(n_columns)
            masked[block] = g[block]
            np.testing.assert_allclose(found[i, k], 1.0 / (masked @ inverse @ masked), rtol=1e-9)


def test_one_block_of_all_columns_is_the_whole():
    _, rows, factor = problem(7, 0)
    found = ComponentFactors(factor, (slice(0, 7),)).rigidities(rows)
    np.testing.assert_allclose(found[:, 0], rigidities(rows, factor), rtol=1e-12)


def test_digits_survive_a_badly_conditioned_factor():
    _, rows, _ = problem(8, 1)
    rng = np.random.default_rng(2)
    train = rng.normal(size=(20, 8)) @ np.diag(10.0 ** -np.arange(8.0))
    factor = with_prior(np.linalg.qr(train, mode="r"), np.ones(8), 1e-14)
    columns = slices([3, 4, 1])
    whole = rigidities(component_rows(rows, columns), factor).reshape(6, 3)
    found = ComponentFactors(factor, columns).rigidities(rows)
    np.testing.assert_allclose(found, whole, rtol=1e-8)


def test_a_row_that_is_zero_in_a_block_is_infinitely_rigid_there():
    _, rows, factor = problem(5, 3)
    rows[2, 3:] = 0.0
    found = ComponentFactors(factor, slices([3, 2])).rigidities(rows)
    assert np.isinf(found[2, 1])
    assert np.isfinite(found[2, 0])
    assert np.isinf(found).sum() == 1


def test_rows_are_left_as_they_are():
    _, rows, factor = problem(5, 4)
    before = rows.copy()
    ComponentFactors(factor, slices([2, 3])).rigidities(rows)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("chosen", [None, np.array([0, 4, 5, 11])])
def test_component_rows_are_written_out_row_by_row(chosen):
    rows = np.arange(1.0, 25.0).reshape(4, 6)
    written = component_rows(rows, slices([1, 2, 2]), chosen)
    everything = np.zeros((12, 6))
    for i in range(4):
        everything[3 * i, 0] = rows[i, 0]
        everything[3 * i + 1, 1:3] = rows[i, 1:3]
        everything[3 * i + 2, 3:5] = rows[i, 3:5]
    np.testing.assert_array_equal(written, everything if chosen is None else everything[chosen])
