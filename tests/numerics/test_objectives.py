from __future__ import annotations

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import BITS
from problems import OBJECTIVE_NAMES

from prcli.numerics.objectives import OBJECTIVES

WITH_TARGETS = [name for name in OBJECTIVE_NAMES if name != "log-det"]


def exact_value(name, v, weights):
    if name == "mean-pr":
        return sum((w / x for w, x in zip(weights, v, strict=True)), flint.arb(0))
    if name == "mean-log-pr":
        return -sum((w * x.log() for w, x in zip(weights, v, strict=True)), flint.arb(0))
    if name == "min-pr":
        return 1 / max(v, key=lambda x: x.mid())
    return -sum((w * x for w, x in zip(weights, v, strict=True)), flint.arb(0))


def arbs(values):
    flint.ctx.prec = BITS
    return [flint.arb(float(x)) for x in values]


@st.composite
def steps(draw):
    """Variances, exact drops that may be a hair or nearly everything, weights."""
    g = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 8))
    v = 10.0 ** g.uniform(-3, 12, n)
    share = np.where(g.random(n) < 0.5, 10.0 ** g.uniform(-25, -1, n), g.uniform(0, 0.999, n))
    weights = g.uniform(0.1, 1.0, n)
    return v, v * share, weights / weights.sum()


@settings(deadline=None, max_examples=100)
@given(steps())
@pytest.mark.parametrize("name", [n for n in WITH_TARGETS if n != "min-pr"])
def test_gain_is_the_difference_of_values(name, step):
    v, drop, weights = step
    exact_v, exact_drop, w = arbs(v), arbs(drop), arbs(weights)
    after = [x - d for x, d in zip(exact_v, exact_drop, strict=True)]
    expected = float((exact_value(name, after, w) - exact_value(name, exact_v, w)).mid())
    v_new = np.array([float(x.mid()) for x in after])
    gain = OBJECTIVES[name].gain(v, v_new, drop, weights, 1.0)
    assert gain == pytest.approx(expected, rel=1e-12, abs=0.0)


def test_gain_of_the_minimum_is_the_difference_of_minima():
    v, drop = np.array([4.0, 3.0, 1.0]), np.array([2.0, 0.5, 0.0])
    gain = OBJECTIVES["min-pr"].gain(v, v - drop, drop, np.full(3, 1 / 3), 1.0)
    assert gain == pytest.approx(1 / 2.5 - 1 / 4, rel=1e-14)


def test_gain_of_the_minimum_resolves_drops_that_rounding_would_hide():
    v, drop = np.array([1.0, 1.0, 0.5]), np.array([1e-20, 3e-20, 0.0])
    gain = OBJECTIVES["min-pr"].gain(v, v - drop, drop, np.full(3, 1 / 3), 1.0)
    assert gain == pytest.approx(1e-20, rel=1e-14)


@pytest.mark.parametrize("name", WITH_TARGETS)
def test_value_is_its_definition(name):
    v, weights = np.array([2.0, 0.25, 1.0]), np.array([0.5, 0.25, 0.25])
    expected = float(exact_value(name, arbs(v), arbs(weights)).mid())
    assert OBJECTIVES[name].value(v, weights) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", OBJECTIVE_NAMES)
def test_nothing_gained_is_plain_zero(name):
    v, weights = np.array([2.0, 0.25]), np.array([0.5, 0.5])
    gain = OBJECTIVES[name].gain(v, v, np.zeros(2), weights, 0.0)
    assert gain == 0.0
    assert not np.signbit(gain)


def test_gain_of_the_determinant_resolves_small_variances():
    nothing = np.empty(0)
    gain = OBJECTIVES["log-det"].gain(nothing, nothing, nothing, nothing, 1e-20)
    assert gain == pytest.approx(1e-20, rel=1e-14)


def test_registry_knows_each_by_its_name():
    assert tuple(OBJECTIVES) == OBJECTIVE_NAMES
    assert all(OBJECTIVES[name].name == name for name in OBJECTIVES)
