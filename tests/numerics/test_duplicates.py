from __future__ import annotations

import numpy as np
import pytest

from prcli.errors import RequestError
from prcli.numerics import duplicates
from prcli.numerics.duplicates import exact_duplicates, near_duplicates
from prcli.numerics.row_source import ArrayRows


def brute_force(rows, distance):
    original = np.full(len(rows), -1)
    for i in range(len(rows)):
        for j in range(i):
            if original[j] < 0 and np.linalg.norm(rows[i] - rows[j]) <= distance:
                original[i] = j
                break
    return original


@pytest.mark.parametrize("n_columns", [1, 3, 30])
@pytest.mark.parametrize("distance", [0.05, 0.8, 3.0])
def test_near_rows_are_those_of_all_pairs(n_columns, distance):
    g = np.random.default_rng(n_columns)
    centres = 5 * g.normal(size=(12, n_columns)) + 100
    rows = centres[g.integers(0, 12, 60)] + g.normal(size=(60, n_columns)) * 0.1
    original, distances = near_duplicates(ArrayRows(rows, block_rows=7), distance)
    np.testing.assert_array_equal(original, brute_force(rows, distance))
    here = original >= 0
    expected = np.linalg.norm(rows[here] - rows[original[here]], axis=1)
    np.testing.assert_allclose(distances[here], expected, rtol=1e-12)
    assert np.isnan(distances[~here]).all()


def test_a_chain_of_near_rows_is_not_one_group():
    rows = np.arange(5.0)[:, np.newaxis]
    original, _ = near_duplicates(ArrayRows(rows), 1.0)
    assert original.tolist() == [-1, 0, -1, 2, -1]


def test_a_distance_that_joins_everything_is_refused(monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 20)
    with pytest.raises(RequestError, match="nothing apart"):
        near_duplicates(ArrayRows(np.zeros((8, 2))), 1.0)


def test_exact_copies_name_the_first():
    digests = np.array([7, 3, 7, 7, 3, 1], dtype=np.uint64)
    assert exact_duplicates(digests).tolist() == [-1, -1, 0, 0, 1, -1]
