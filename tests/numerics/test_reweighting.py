from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.numerics.reweighting import BOLTZMANN, Averages, TrajectoryAverages

T = 300.0
KT = BOLTZMANN * T


def averaged(observable, deviations, members=None, *, pieces=1, temperature=T) -> Averages:
    """All frames at once, or in some pieces."""
    sums = TrajectoryAverages(deviations.shape[1], temperature)
    for part in np.array_split(np.arange(len(observable)), pieces):
        own = None if members is None else members[part]
        sums.add(observable[part], deviations[part], own)
    return sums.result()


def oscillator(n_frames: int, stiffness: float, seed: int) -> np.ndarray:
    """Positions that sample k x²/2, with mean and variance of the whole exactly right."""
    x = np.random.default_rng(seed).normal(size=n_frames)
    x = (x - x.mean()) / x.std()
    return x * np.sqrt(KT / stiffness)


def test_cumulant_is_exact_where_all_is_gaussian():
    # V_m = k x²/2 + c x has its minimum at −c/k, whatever the temperature.
    x, forces = oscillator(500, 2.0, 0), np.array([0.05, -0.2, 0.0])
    found = averaged(x, x[:, np.newaxis] * forces)
    np.testing.assert_allclose(found.cumulant, -forces / 2.0, rtol=1e-9, atol=1e-12)
    assert found.plain == pytest.approx(0.0, abs=1e-12)


def test_direct_form_agrees_within_its_sampling_error():
    x, forces = oscillator(40_000, 2.0, 1), np.array([0.05, -0.2, 0.0])
    found = averaged(x, x[:, np.newaxis] * forces)
    error = np.sqrt(KT / 2.0 / found.n_effective)
    assert (np.abs(found.direct + forces / 2.0) < 6.0 * error).all()


def test_direct_form_knows_more_than_the_first_cumulant():
    # V_m = (k + δ) x²/2 has ⟨x²⟩ = k_B T/(k + δ); to first order k_B T (1 − δ/k)/k.
    x, change = oscillator(200_000, 2.0, 2), np.array([0.6])
    found = averaged(x**2, 0.5 * x[:, np.newaxis] ** 2 * change)
    exact, first = KT / 2.6, KT / 2.0 * (1.0 - 0.3)
    spread = np.sqrt(2.0 / found.n_effective[0]) * exact
    assert abs(found.direct[0] - exact) < 6.0 * spread
    assert abs(found.direct[0] - exact) < abs(first - exact) / 3.0
    assert found.cumulant[0] == pytest.approx(first, abs=6.0 * np.sqrt(96 / 200_000) * KT / 2.0)


def test_mean_energy_of_each_member_is_that_of_equipartition():
    x, change = oscillator(200_000, 2.0, 3), np.array([0.4, -0.3])
    deviations = 0.5 * x[:, np.newaxis] ** 2 * change
    energy = x**2
    found = averaged(energy, deviations, energy[:, np.newaxis] + deviations)
    spread = np.sqrt(0.5 / found.n_effective) * KT
    assert (np.abs(found.direct - 0.5 * KT) < 6.0 * spread).all()
    assert found.plain == pytest.approx(0.5 * KT, rel=1e-9)


def test_cumulant_of_the_energy_is_its_formula():
    g = np.random.default_rng(4)
    energy, deviations = g.normal(size=50), 0.1 * g.normal(size=(50, 3))
    members = energy[:, np.newaxis] + deviations
    found = averaged(energy, deviations, members)
    expected = members.mean(axis=0) - [
        np.cov(members[:, m], deviations[:, m], ddof=0)[0, 1] / KT for m in range(3)
    ]
    np.testing.assert_allclose(found.cumulant, expected, rtol=1e-9)


def test_cumulant_stays_where_direct_weights_collapse():
    # Many independent oscillators, of which the observable sees one.
    g = np.random.default_rng(5)
    x = g.normal(size=(4000, 900)) * np.sqrt(KT / 2.0)
    deviations = 0.1 * x.sum(axis=1)[:, np.newaxis]
    found = averaged(x[:, 0], deviations)
    assert found.n_effective[0] < 20
    error = np.sqrt(KT / 2.0 / 4000) * 0.1 * np.sqrt(900) / np.sqrt(2.0 * KT)
    assert abs(found.cumulant[0] + 0.05) < 6.0 * error
    assert abs(found.direct[0] + 0.05) > error


def test_equal_shifts_change_nothing():
    g = np.random.default_rng(6)
    a, d = g.normal(size=30), 0.05 * g.normal(size=(30, 2))
    expected = averaged(a, d)
    for shift in (1e3, -1e3):
        found = averaged(a, d + shift)
        for name in ("direct", "cumulant", "n_effective"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-8)


def test_weights_never_overflow():
    # Exponents of ± 40000, first the small one and then the large one.
    found = averaged(np.array([1.0, 2.0, 5.0]), np.array([[1e3], [0.0], [-1e3]]), pieces=3)
    assert found.direct.tolist() == [5.0]
    assert found.n_effective.tolist() == [1.0]


def test_all_frames_count_where_potentials_agree():
    found = averaged(np.arange(8.0), np.zeros((8, 2)))
    assert found.n_effective.tolist() == [8.0, 8.0]
    assert found.direct.tolist() == found.cumulant.tolist() == [3.5, 3.5]


def test_effective_number_of_frames_is_that_of_the_weights():
    # Weights 1 and 1/2.
    found = averaged(np.zeros(2), np.array([[0.0], [KT * np.log(2.0)]]))
    assert found.n_effective[0] == pytest.approx(1.5**2 / 1.25)


def test_colder_is_more_sensitive():
    x = oscillator(100, 2.0, 0)
    deviations = 0.01 * x[:, np.newaxis]
    warm = averaged(x, deviations, temperature=600.0).cumulant[0]
    cold = averaged(x, deviations, temperature=300.0).cumulant[0]
    assert cold == pytest.approx(2.0 * warm)


@settings(max_examples=50)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 999), st.booleans())
def test_frames_may_arrive_in_pieces(n_frames, pieces, seed, by_member):
    g = np.random.default_rng(seed)
    a, d = g.normal(size=n_frames) + 50.0, 0.1 * g.normal(size=(n_frames, 3))
    members = a[:, np.newaxis] + d if by_member else None
    found = averaged(a, d, members, pieces=pieces)
    values = np.broadcast_to(a[:, np.newaxis], d.shape) if members is None else members
    weights = np.exp(-d / KT)
    expected = {
        "direct": (weights * values).sum(axis=0) / weights.sum(axis=0),
        "n_effective": weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0),
        "cumulant": values.mean(axis=0)
        - ((values * d).mean(axis=0) - values.mean(axis=0) * d.mean(axis=0)) / KT,
    }
    for name, numbers in expected.items():
        np.testing.assert_allclose(getattr(found, name), numbers, rtol=1e-9)
    assert found.plain == pytest.approx(a.mean(), rel=1e-12)
    assert found.n_frames == n_frames
