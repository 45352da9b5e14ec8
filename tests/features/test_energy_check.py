from __future__ import annotations

import numpy as np
import pytest

from prcli.errors import FeatureError
from prcli.features.energy_check import EnergyCheck


def check(expected, offsets=0.0, n_summed=1):
    """Compare energies with 1 eV of learned terms."""
    expected = np.atleast_1d(np.asarray(expected, dtype=float))
    ones = np.ones_like(expected)
    return EnergyCheck("atom", expected, ones, ones, offsets * ones, n_summed)


def test_equal_energies():
    assert check([1.0, 1.0]).require("float64", "m") == 0.0


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_tolerance_of_each_precision(precision, tolerance):
    assert check(1 + 0.9 * tolerance).require(precision, "m") == pytest.approx(0.9 * tolerance)
    with pytest.raises(FeatureError, match=r"do not give the energies(.*\n)+.*where: +m, atom 0"):
        check(1 + 1.1 * tolerance).require(precision, "m")


def test_the_worst_atom_is_named():
    with pytest.raises(FeatureError, match=r"atom 2 of(.*\n)+.*expected: 3 eV(.*\n)+.*got: +1 eV"):
        check([1.0, 2.0, 3.0, 1.0]).require("float64", "m")


def test_nan_is_never_right():
    with pytest.raises(FeatureError, match="nan"):
        check([1.0, np.nan]).require("float64", "m")


def test_large_offsets_may_be_rounded():
    offset = -1e6
    rounded = np.nextafter(offset + 1.0, 0.0)
    check(rounded, offset).require("float64", "m")
    with pytest.raises(FeatureError):
        check(offset + 1.0 + 1e-7, offset).require("float64", "m")


def test_sums_over_many_atoms_may_be_rounded_more():
    check(1 + 5e-5, n_summed=1000).require("float32", "m")
    with pytest.raises(FeatureError):
        check(1 + 5e-5, n_summed=10).require("float32", "m")
