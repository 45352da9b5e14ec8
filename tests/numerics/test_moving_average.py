from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.numerics import moving_average as module
from prcli.numerics.moving_average import MovingAverage, finite_mean

numbers = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([np.inf, np.nan]))


def naive(values: list[float], window: int) -> list[float]:
    averages = []
    for i in range(len(values)):
        kept = [x for x in values[max(0, i + 1 - window) : i + 1] if np.isfinite(x)]
        is_full = i + 1 >= window
        averages.append(sum(kept) / len(kept) if is_full and kept else np.nan)
    return averages


@given(values=st.lists(numbers, max_size=30), window=st.integers(1, 8))
def test_averages_are_those_of_a_loop(values, window):
    found = MovingAverage(window).push(np.array(values, dtype=float))
    np.testing.assert_allclose(found, naive(values, window), rtol=1e-12, atol=1e-9)


@given(
    values=st.lists(numbers, max_size=30),
    window=st.integers(1, 8),
    cuts=st.lists(st.integers(0, 30), max_size=5),
)
def test_pieces_make_no_difference(values, window, cuts):
    series = np.array(values, dtype=float)
    whole = MovingAverage(window).push(series)
    average = MovingAverage(window)
    pieces = np.split(series, sorted(min(cut, len(series)) for cut in cuts))
    found = np.concatenate([average.push(piece) for piece in pieces])
    np.testing.assert_array_equal(found, whole)


def test_rounding_does_not_build_up():
    values = np.concatenate([[1e16], np.ones(50)])
    np.testing.assert_array_equal(MovingAverage(3).push(values)[3:], 1.0)


def test_few_windows_are_held_at_a_time(monkeypatch):
    values = np.random.default_rng(0).normal(size=40)
    expected = MovingAverage(7).push(values)
    monkeypatch.setattr(module, "_AT_A_TIME", 1)
    np.testing.assert_array_equal(MovingAverage(7).push(values), expected)


@pytest.mark.parametrize(("values", "mean"), [([1.0, np.inf, 3.0], 2.0), ([np.inf], np.nan)])
def test_means_leave_out_what_is_infinite(values, mean):
    np.testing.assert_equal(finite_mean(np.array(values)), mean)
