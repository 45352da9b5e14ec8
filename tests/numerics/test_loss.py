from __future__ import annotations

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.numerics.loss import (
    gauss_newton_factors,
    stress_row_weights,
    universal_force_delta,
)
from prcli.numerics.square_root import SquareRoot

BITS = 400
widths = st.floats(1e-3, 1e3)
#: Residuals in units of the width.
multiples = st.floats(-30.0, 30.0)


def exact_loss(name, r, delta):
    """ℓ(r), normalized to r² near 0, in 400-bit arithmetic."""
    if name == "squared":
        return r * r
    if name == "log-cosh":
        return 2 * delta**2 * (r / delta).cosh().log()
    return r * r if abs(r) <= delta else 2 * delta * abs(r) - delta**2


def half_second_derivative(name, residual, delta):
    """½ ℓ'' by second differences so narrow that only 400-bit arithmetic can take them."""
    flint.ctx.prec = BITS
    r, d = flint.arb(residual), flint.arb(delta)
    step = d * flint.arb(2) ** -100
    values = [exact_loss(name, r + k * step, d) for k in (-1, 0, 1)]
    return float(((values[0] - 2 * values[1] + values[2]) / (2 * step**2)).mid())


@pytest.mark.parametrize("name", ["squared", "huber", "log-cosh"])
@given(multiple=multiples, delta=widths)
def test_factor_is_half_the_second_derivative(name, multiple, delta):
    residual = multiple * delta
    if name == "huber" and abs(abs(residual) - delta) < 1e-9 * delta:
        residual *= 1.1  # there is no second derivative at the edge itself
    factor = gauss_newton_factors(name, [residual], delta)
    expected = half_second_derivative(name, residual, delta)
    # exp(-2x) carries the rounding of x, of up to 30 widths.
    np.testing.assert_allclose(factor, [expected], rtol=1e-13, atol=1e-50)


def test_huber_counts_a_residual_at_its_edge():
    delta = 0.1
    residuals = [0.1, -0.1, np.nextafter(0.1, 1.0), -np.nextafter(0.1, 1.0), 0.0]
    factors = gauss_newton_factors("huber", residuals, delta)
    np.testing.assert_array_equal(factors, [1, 1, 0, 0, 1])


@pytest.mark.parametrize(("residual", "delta"), [(1e300, 1e-300), (-1e9, 1.0), (np.inf, 1.0)])
def test_log_cosh_of_a_huge_residual_is_zero(residual, delta):
    assert gauss_newton_factors("log-cosh", [residual], delta) == [0.0]


def test_log_cosh_keeps_its_digits_far_from_zero():
    flint.ctx.prec = BITS
    residuals = np.array([1.0, 20.0, 300.0])
    expected = [float((1 / flint.arb(r).cosh() ** 2).mid()) for r in residuals]
    found = gauss_newton_factors("log-cosh", residuals, 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_widths_broadcast_over_components():
    residuals = np.array([[0.5, 1.5, 2.5], [0.5, 1.5, 2.5]])
    found = gauss_newton_factors("mace-universal", residuals, [[1.0], [2.0]])
    np.testing.assert_array_equal(found, [[1, 0, 0], [1, 1, 0]])


@pytest.mark.parametrize("name", ["huber", "log-cosh", "mace-universal"])
def test_robust_loss_needs_a_width(name):
    with pytest.raises(ValueError, match="needs delta"):
        gauss_newton_factors(name, [0.0])


def published_factor(norm):
    """Rule of MACE's conditional Huber loss: half-open intervals of the reference force."""
    if norm < 100:
        return 1.0
    if 100 <= norm < 200:
        return 0.7
    if 200 <= norm < 300:
        return 0.4
    return 0.1


@pytest.mark.parametrize(
    "norm", [0.0, 99.999, 100.0, 150.0, np.nextafter(200.0, 0.0), 200.0, 299.0, 300.0, 1e5]
)
def test_universal_widths_follow_the_published_rule(norm):
    found = universal_force_delta(0.01, [[0.0, -norm, 0.0], [norm, 0.0, 0.0]])
    np.testing.assert_allclose(found, [0.01 * published_factor(norm)] * 2, rtol=1e-15)


def test_universal_widths_look_at_the_whole_vector():
    # Each component is below 100 eV/Å, the vector is not.
    assert universal_force_delta(1.0, [[90.0, 90.0, 0.0]]) == [0.7]


def test_universal_widths_of_no_atoms():
    assert universal_force_delta(1.0, np.empty((0, 3))).shape == (0,)


def test_nine_components_count_what_the_tensor_holds():
    rows = np.random.default_rng(0).normal(size=(6, 4))
    # Rows of the tensor, row by row, from rows in Voigt order.
    tensor = rows[[0, 5, 4, 5, 1, 3, 4, 3, 2]]
    found = SquareRoot(4)
    found.add_rows(np.sqrt(stress_row_weights(9))[:, np.newaxis] * rows)
    np.testing.assert_allclose(found.factor.T @ found.factor, tensor.T @ tensor, rtol=1e-12)


def test_six_components_count_once():
    np.testing.assert_array_equal(stress_row_weights(6), np.ones(6))
