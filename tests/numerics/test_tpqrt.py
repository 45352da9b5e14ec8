from __future__ import annotations

import threading

import numpy as np
import pytest
from scipy.linalg.lapack import dtpqrt

from prcli.numerics.tpqrt import PANEL_COLUMNS, tpqrt


@pytest.mark.parametrize("n_columns", [1, 5, PANEL_COLUMNS, 40])
@pytest.mark.parametrize("n_rows", [1, 7, 60])
def test_same_triangle_as_by_the_wrapper_of_scipy(n_rows, n_columns):
    g = np.random.default_rng(n_rows)
    factor = np.asfortranarray(np.triu(g.normal(size=(n_columns, n_columns))))
    block = np.asfortranarray(g.normal(size=(n_rows, n_columns)))
    expected = dtpqrt(0, min(PANEL_COLUMNS, n_columns), factor, block)[0]
    tpqrt(factor, block, triangular=False)
    assert np.array_equal(factor, expected)


def test_triangular_block_counts_with_its_triangle():
    g = np.random.default_rng(1)
    factor, block = (np.asfortranarray(np.triu(g.normal(size=(23, 23)))) for _ in range(2))
    expected = factor.T @ factor + block.T @ block
    tpqrt(factor, block, triangular=True)
    np.testing.assert_allclose(factor.T @ factor, expected, atol=1e-12)


def test_refusal_of_the_routine_is_an_error():
    with pytest.raises(ValueError, match="argument 1 of dtpqrt"):
        _with_negative_rows()


def _with_negative_rows():
    class Odd(np.ndarray):
        shape = (-1, 3)

    block = np.zeros((2, 3), order="F").view(Odd)
    tpqrt(np.zeros((3, 3), order="F"), block, triangular=False)


def test_threads_do_not_disturb_each_other():
    g = np.random.default_rng(2)
    blocks = [np.asfortranarray(g.normal(size=(300, 30))) for _ in range(8)]
    factors = [np.zeros((30, 30), order="F") for _ in blocks]
    expected = [block.T @ block for block in blocks]
    threads = [
        threading.Thread(target=tpqrt, args=(f, b), kwargs={"triangular": False})
        for f, b in zip(factors, blocks, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for factor, wanted in zip(factors, expected, strict=True):
        np.testing.assert_allclose(factor.T @ factor, wanted, atol=1e-11)
