from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from prcli.numerics.stability import spearman, top_overlap


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31 - 1), st.integers(3, 40), st.integers(2, 30))
def test_spearman_is_that_of_scipy(seed, n_values, n_different):
    g = np.random.default_rng(seed)
    one, other = g.integers(0, n_different, (2, n_values)).astype(float)
    one[:2] = 0.0, 1.0
    other[:2] = 1.0, 0.0
    assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)


def test_spearman_knows_only_order():
    values = np.array([3.0, 1.0, np.inf, 2.0])
    assert spearman(values, np.exp([3.0, 1.0, 9.0, 2.0])) == pytest.approx(1.0)
    assert spearman(values, -values) == pytest.approx(-1.0)


@pytest.mark.parametrize("values", [np.empty(0), np.ones(1), np.ones(4)])
def test_spearman_of_equal_values_is_not_a_number(values):
    assert np.isnan(spearman(values, values))


def test_overlap_counts_the_lowest():
    one, other = np.array([5.0, 1.0, 2.0, 9.0]), np.array([1.0, 2.0, 8.0, 9.0])
    assert top_overlap(one, other, 2) == 0.5
    assert top_overlap(one, one, 2) == 1.0
    assert top_overlap(one, -one, 2) == 0.0


def test_overlap_of_fewer_values_than_asked_for_is_whole():
    assert top_overlap(np.array([2.0, 1.0]), np.array([1.0, 2.0]), 10) == 1.0


def test_first_of_equal_values_count():
    assert top_overlap(np.zeros(4), np.arange(4.0), 2) == 1.0


def test_overlap_of_nothing_is_not_a_number():
    assert np.isnan(top_overlap(np.empty(0), np.empty(0), 3))
