"""Radial integrals against adaptive quadrature, and the basis against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.special import eval_legendre, gamma, gammainc

from prcli.features.near_part import (
    RadialIntegrals,
    gto_basis,
    near_part_hypers,
    smeared_power_law,
)

BASIS = {
    "type": "TensorProduct",
    "max_angular": 3,
    "radial": {"type": "Gto", "max_radial": 2, "radius": 3.5},
}
CUTOFF = {"radius": 4.0, "smoothing": {"type": "Step"}}


def density_of(exponent: int, smearing: float = 0.8) -> dict[str, object]:
    return {"type": "SmearedPowerLaw", "exponent": exponent, "smearing": smearing}


def by_definition(d: float, exponent: int, smearing: float) -> float:
    x = d**2 / (2 * smearing**2)
    return float(gammainc(exponent / 2, x) / d**exponent)


@pytest.mark.parametrize("exponent", [1, 3, 6])
def test_density_is_its_definition(exponent):
    d = np.array([0.01, 0.3, 1.0, 5.0, 40.0])
    values, _ = smeared_power_law(d**2, exponent / 2, 0.8)
    expected = [by_definition(each, exponent, 0.8) for each in d]
    np.testing.assert_allclose(values, expected, rtol=1e-13)


@pytest.mark.parametrize("exponent", [1, 3, 6])
def test_density_has_a_limit_at_its_centre(exponent):
    values, slopes = smeared_power_law(np.array([0.0, 1e-20, 1e-7]), exponent / 2, 0.8)
    a = exponent / 2
    limit = 1 / (2 * 0.8**2) ** a / gamma(a + 1)
    np.testing.assert_allclose(values[:2], limit, rtol=1e-14)
    # To first order in d², of which the slope g'/d is twice the coefficient.
    np.testing.assert_allclose((values[2] - limit) / 1e-7, slopes[0] / 2, rtol=1e-6)


@pytest.mark.parametrize("exponent", [1, 3, 6])
def test_slope_is_the_derivative(exponent):
    d, step = np.array([0.2, 1.0, 4.0]), 1e-5
    (above, _), (below, _) = (
        smeared_power_law((d + sign * step) ** 2, exponent / 2, 0.8) for sign in (1, -1)
    )
    _, slopes = smeared_power_law(d**2, exponent / 2, 0.8)
    np.testing.assert_allclose(slopes * d, (above - below) / (2 * step), rtol=1e-8)


@pytest.mark.parametrize("size", [1, 4, 7])
def test_basis_is_orthonormal(size):
    def product(r: float, n: int, m: int) -> float:
        values = gto_basis(np.array([r]), size, 3.5)[:, 0]
        return float(r**2 * values[n] * values[m])

    overlap = [[quad(product, 0, 30, (n, m))[0] for n in range(size)] for m in range(size)]
    np.testing.assert_allclose(overlap, np.eye(size), atol=1e-8)


@pytest.mark.parametrize("exponent", [1, 6])
@pytest.mark.parametrize(("n", "ell"), [(0, 0), (2, 1), (1, 3)])
def test_integrals_are_those_of_adaptive_quadrature(exponent, n, ell):
    def integrand(u: float, r: float, x: float) -> float:
        d = math.sqrt(r**2 + x**2 - 2 * r * x * u)
        radial = gto_basis(np.array([r]), 3, 3.5)[n, 0]
        return float(r**2 * radial * eval_legendre(ell, u)) * by_definition(d, exponent, 0.8)

    distances = np.array([0.4, 2.9])
    expected = [
        2 * math.pi * dblquad(integrand, 0, 20, -1, 1, args=(x,), epsabs=1e-9, epsrel=1e-9)[0]
        for x in distances
    ]
    values, _ = RadialIntegrals(density_of(exponent), BASIS, 4.0)(distances)
    np.testing.assert_allclose(values[:, ell, n], expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("exponent", [1, 6])
def test_derivatives_of_integrals(exponent):
    integrals = RadialIntegrals(density_of(exponent), BASIS, 4.0)
    x, step = np.array([0.3, 2.0, 3.9]), 1e-5
    slope = (integrals(x + step)[0] - integrals(x - step)[0]) / (2 * step)
    np.testing.assert_allclose(integrals(x)[1], slope, rtol=1e-7, atol=1e-8)


def test_splines_are_as_accurate_as_asked_for():
    integrals = RadialIntegrals(density_of(3), BASIS, 4.0)
    positions, values, slopes = integrals.splined(1e-7)
    step = positions[1]
    np.testing.assert_allclose(np.diff(positions), step)
    assert positions[-1] == 4.0
    # Off the midpoints, at which accuracy was measured.
    t = 0.3
    found = integrals(positions[:-1] + t * step)[0]
    weights = (
        (1 + 2 * t) * (1 - t) ** 2,
        step * t * (1 - t) ** 2,
        t**2 * (3 - 2 * t),
        step * t**2 * (t - 1),
    )
    parts = (values[:-1], slopes[:-1], values[1:], slopes[1:])
    spline = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    np.testing.assert_allclose(spline, found, atol=1e-7)


def test_hypers_are_of_delta_densities():
    hypers = near_part_hypers(CUTOFF, density_of(3) | {"center_atom_weight": 0.5}, BASIS)
    assert hypers["cutoff"] == CUTOFF
    assert hypers["density"] == {"type": "DiracDelta", "center_atom_weight": 0.5}
    assert sorted(hypers["basis"]["by_angular"]) == ["0", "1", "2", "3"]
    points = hypers["basis"]["by_angular"]["2"]["points"]
    assert {len(point["values"]) for point in points} == {3}
