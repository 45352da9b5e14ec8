"""The part of a LODE potential that comes from within a cutoff, as SOAP-like hyperparameters.

featomic expands a neighbour's smeared power law g(d) around a centre at distance r_ij in functions
R_n(r) Y_lm. What one neighbour contributes is

    I_nl(r_ij) = 2π ∫ r² R_n(r) dr ∫_{-1}^{1} P_l(u) g(√(r² + r_ij² − 2 r r_ij u)) du.

featomic's own spliner computes each of these numbers by an adaptive double quadrature, which takes
minutes. Here Gauss-Legendre rules give all of them at once. With u = 1 − 2t² the distance becomes
d² = (r − r_ij)² + 4 r r_ij t², smooth in t on the scale of the smearing, and du = −4t dt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import eval_legendre, gamma, gammainc

#: The radial functions have died away at this many times the width of the broadest.
_EXTENT = 10.0

#: Nodes per smearing length, which leave errors of 1e-11, and how many there are at least.
_NODES_PER_LENGTH = 3.0
_FEWEST_NODES = 64

#: Splines get at most so many points.
_MOST_POINTS = 5121

#: Points at which the integrand is held at a time.
_GRID_POINTS = 1 << 21


def near_part_hypers(
    cutoff: Mapping[str, Any], density: Mapping[str, Any], basis: Mapping[str, Any]
) -> dict[str, Any]:
    """Make hyperparameters of a spherical expansion of smeared power laws within a cutoff.

    Parameters
    ----------
    cutoff, density, basis : mapping
        In featomic's words; the density a ``SmearedPowerLaw``, the basis a ``TensorProduct`` of
        ``Gto`` functions with a radius.

    Returns
    -------
    dict
        Arguments of ``featomic.SphericalExpansion``: delta densities, and the integrals above as
        splines between 0 and the cutoff, to the accuracy that the basis asks for (1e-8).
    """
    integrals = RadialIntegrals(density, basis, float(cutoff["radius"]))
    positions, values, derivatives = integrals.splined(float(basis.get("spline_accuracy", 1e-8)))
    by_angular = {
        str(ell): {
            "type": "Tabulated",
            "points": [
                {"position": float(x), "values": v.tolist(), "derivatives": d.tolist()}
                for x, v, d in zip(positions, values[:, ell], derivatives[:, ell], strict=True)
            ],
        }
        for ell in range(values.shape[1])
    }
    weight = density.get("center_atom_weight", 1.0)
    return {
        "cutoff": dict(cutoff),
        "density": {"type": "DiracDelta", "center_atom_weight": weight},
        "basis": {"type": "Explicit", "by_angular": by_angular},
    }


class RadialIntegrals:
    """Radial integrals of a smeared power law in a basis of Gaussian type orbitals.

    Parameters
    ----------
    density, basis : mapping
        As `near_part_hypers` takes them.
    cutoff : float
        Largest distance in angstrom.
    """

    def __init__(self, density: Mapping[str, Any], basis: Mapping[str, Any], cutoff: float) -> None:
        self._power = float(density["exponent"]) / 2.0
        self._smearing = float(density["smearing"])
        self._cutoff = cutoff
        self._n_angular = int(basis["max_angular"]) + 1
        radial = basis["radial"]
        radius, size = float(radial["radius"]), int(radial["max_radial"]) + 1
        extent = _EXTENT * float(gto_widths(size, radius).max())
        self._r, weights = _gauss_legendre(extent, self._smearing)
        self._weighted = 2.0 * math.pi * weights * self._r**2 * gto_basis(self._r, size, radius)

    def __call__(self, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Integrate.

        Parameters
        ----------
        distances : (k,) array
            In angstrom.

        Returns
        -------
        values, derivatives : (k, L, N) arrays
            For each l and n, and by the distance.
        """
        longest = 2.0 * math.sqrt(self._r[-1] * self._cutoff)
        t, weights = _gauss_legendre(1.0, self._smearing / longest)
        legendre = np.array(
            [eval_legendre(ell, 1.0 - 2.0 * t**2) for ell in range(self._n_angular)]
        )
        legendre *= 4.0 * t * weights
        step = max(1, _GRID_POINTS // (len(t) * len(self._r)))
        parts = [
            self._integrate(distances[start : start + step], t, legendre)
            for start in range(0, len(distances), step)
        ]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _integrate(
        self, distances: np.ndarray, t: np.ndarray, legendre: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Integrate for a few distances: axes k, r, t."""
        x, r = distances[:, np.newaxis, np.newaxis], self._r[:, np.newaxis]
        square = (r - x) ** 2 + 4.0 * r * x * t**2
        density, slope = smeared_power_law(square, self._power, self._smearing)
        slope *= x - r * (1.0 - 2.0 * t**2)
        # (k, r, t) with (l, t), then with (n, r): (k, l, n).
        return (
            np.einsum("krl,nr->kln", density @ legendre.T, self._weighted, optimize=True),
            np.einsum("krl,nr->kln", slope @ legendre.T, self._weighted, optimize=True),
        )

    def splined(self, accuracy: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find equidistant points between which cubic splines are as accurate as asked for.

        Returns
        -------
        positions : (k,) array
        values, derivatives : (k, L, N) arrays
        """
        positions = np.linspace(0.0, self._cutoff, 11)
        values, derivatives = self(positions)
        while True:
            between = (positions[1:] + positions[:-1]) / 2.0
            found, slopes = self(between)
            step = positions[1] - positions[0]
            guess = (values[1:] + values[:-1]) / 2.0
            guess += step / 8.0 * (derivatives[:-1] - derivatives[1:])
            positions = np.insert(positions, np.arange(1, len(positions)), between)
            values = _interleave(values, found)
            derivatives = _interleave(derivatives, slopes)
            error = np.abs(guess - found).max() / max(1.0, np.abs(values).max())
            if error < accuracy or len(positions) >= _MOST_POINTS:
                return positions, values, derivatives


def smeared_power_law(
    square: np.ndarray, power: float, smearing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate g(d) = P(p/2, d²/2σ²)/d^p, and its derivative over d, from d².

    With x = d²/2σ² and G_a(x) = P(a, x)/x^a, which is smooth everywhere: g = G_a/(2σ²)^a with
    a = p/2, and G_a' = −a G_{a+1}.

    Parameters
    ----------
    square : array
        d² in angstrom².
    power : float
        p/2.
    smearing : float
        σ in angstrom.

    Returns
    -------
    values, slopes : arrays
        g and g'(d)/d.
    """
    x = square / (2.0 * smearing**2)
    prefactor = (2.0 * smearing**2) ** -power
    values = prefactor * _scaled_gammainc(power, x)
    slopes = -prefactor * power / smearing**2 * _scaled_gammainc(power + 1.0, x)
    return values, slopes


def _scaled_gammainc(a: float, x: np.ndarray) -> np.ndarray:
    """P(a, x)/x^a, with its limit where x is small."""
    # To first order 1/Γ(a+1) · (1 − a x/(a+1)); the next term is below the rounding.
    small = x < 1e-8
    safe = np.where(small, 1.0, x)
    limit = (1.0 - a / (a + 1.0) * x) / gamma(a + 1.0)
    result: np.ndarray = np.where(small, limit, gammainc(a, safe) / safe**a)
    return result


def gto_widths(size: int, radius: float) -> np.ndarray:
    """Widths σ_n = √max(n, 1) · radius/size of featomic's Gaussian type orbitals."""
    widths: np.ndarray = np.sqrt(np.maximum(np.arange(size), 1)) * radius / size
    return widths


def gto_basis(r: np.ndarray, size: int, radius: float) -> np.ndarray:
    """Evaluate featomic's Gaussian type orbitals, orthonormalized, at distances r.

    R_n = r^n exp(−r²/2σ_n²), symmetrically orthonormalized under ∫ r² dr.

    Returns
    -------
    (size, k) array
    """
    n = np.arange(size)
    sigma = gto_widths(size, radius)
    exponent = (1.0 / sigma[:, np.newaxis] ** 2 + 1.0 / sigma**2) / 2.0
    order = (n[:, np.newaxis] + n + 3) / 2.0
    overlap = 0.5 * gamma(order) / exponent**order
    norms = 1.0 / np.sqrt(np.diag(overlap))
    eigenvalues, vectors = np.linalg.eigh(norms[:, np.newaxis] * overlap * norms)
    mixing = (vectors / np.sqrt(eigenvalues)) @ vectors.T * norms
    basis: np.ndarray = mixing @ (
        r ** n[:, np.newaxis] * np.exp(-0.5 * (r / sigma[:, np.newaxis]) ** 2)
    )
    return basis


def _gauss_legendre(stop: float, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights between 0 and `stop` that resolve a length."""
    n_nodes = max(_FEWEST_NODES, math.ceil(_NODES_PER_LENGTH * stop / length))
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    return (nodes + 1.0) * stop / 2.0, weights * stop / 2.0


def _interleave(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Put entries between the others, along the first axis."""
    joined = np.empty((len(outer) + len(inner), *outer.shape[1:]))
    joined[::2], joined[1::2] = outer, inner
    return joined
