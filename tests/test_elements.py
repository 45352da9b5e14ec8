from __future__ import annotations

import numpy as np
import pytest

from prcli.elements import AMU_PER_A3_IN_G_PER_CM3, ATOMIC_NUMBERS, MASSES, SYMBOLS


def test_symbols_and_numbers_are_those_of_ase():
    from ase.data import atomic_numbers, chemical_symbols

    assert list(SYMBOLS) == chemical_symbols
    assert atomic_numbers == ATOMIC_NUMBERS


def test_masses_are_those_of_ase():
    from ase.data import atomic_masses

    np.testing.assert_array_equal(MASSES, atomic_masses)


def test_density_factor_is_the_atomic_mass_unit():
    from ase.units import _amu

    grams_per_kilogram, cubic_angstrom_in_cm3 = 1e3, 1e-24
    expected = _amu * grams_per_kilogram / cubic_angstrom_in_cm3
    assert pytest.approx(expected, rel=1e-7) == AMU_PER_A3_IN_G_PER_CM3


def test_density_of_diamond():
    edge = 3.567
    density = 8 * MASSES[ATOMIC_NUMBERS["C"]] / edge**3 * AMU_PER_A3_IN_G_PER_CM3
    assert density == pytest.approx(3.515, abs=0.005)
