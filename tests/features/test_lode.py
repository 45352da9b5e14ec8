"""LODE against featomic's own power spectrum, finite differences, and what should vanish."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from atoms_builder import count_atoms, structures_of
from differences import assert_close, force_row

from prcli.errors import FeatureError, FormatError, RequestError
from prcli.features import featomic_package
from prcli.features.featurizer import FeaturizerOptions
from prcli.features.lode import Lode
from prcli.features.soap import Soap

featomic = pytest.importorskip("featomic")

SPECIES = (1, 6, 8)
SYMBOLS = ("H", "C", "O")
SMOOTH = {"radius": 3.0, "smoothing": {"type": "ShiftedCosine", "width": 0.5}}
HYPERS = {
    "short": {
        "cutoff": SMOOTH,
        "density": {"type": "Gaussian", "width": 0.4},
        "basis": {
            "type": "TensorProduct",
            "max_angular": 2,
            "radial": {"type": "Gto", "max_radial": 2},
            "spline_accuracy": 1e-10,
        },
    },
    "long": {
        "density": {"type": "SmearedPowerLaw", "smearing": 1.0, "exponent": 3},
        "basis": {
            "type": "TensorProduct",
            "max_angular": 2,
            "radial": {"type": "Gto", "max_radial": 1, "radius": 3.0},
            "spline_accuracy": 1e-10,
        },
    },
}


@pytest.fixture(scope="module")
def mixed():
    return structures_of(3, seed=1, symbols=SYMBOLS)


def hypers_of(**changes):
    hypers = copy.deepcopy(HYPERS)
    hypers["long"].update(changes)
    return hypers


def lode_of(hypers=HYPERS, species=SPECIES, **options):
    return Lode(FeaturizerOptions(species, hypers=hypers, **options))


def long_of(lode, structures):
    return lode.describe(structures).features[:, lode.blocks[0].width :]


def test_long_block_is_featomics_power_spectrum_of_two_expansions(mixed):
    lode = lode_of(per_species=False)
    tensor = featomic.clebsch_gordan.PowerSpectrum(
        featomic.SphericalExpansion(**HYPERS["short"]),
        featomic.LodeSphericalExpansion(**HYPERS["long"]),
        neighbor_types=list(SPECIES),
    ).compute(mixed)
    first = np.cumsum(count_atoms(mixed)) - count_atoms(mixed)
    found = long_of(lode, mixed)
    for block in tensor:
        samples = np.asarray(block.samples.values)
        labels = np.asarray(block.properties.values)
        names = ["neighbor_1_type", "neighbor_2_type", "l", "n_1", "n_2"]
        keys = [labels[:, block.properties.names.index(name)] for name in reversed(names)]
        expected = np.asarray(block.values)[:, np.lexsort(keys)]
        rows = found[first[samples[:, 0]] + samples[:, 1]]
        np.testing.assert_allclose(rows, expected, rtol=1e-12, atol=1e-14)


def test_short_block_is_soap(mixed):
    lode = lode_of()
    soap = Soap(FeaturizerOptions(SPECIES, hypers=HYPERS["short"]))
    short = lode.describe(mixed).features[:, : lode.blocks[0].width]
    np.testing.assert_array_equal(short, soap.describe(mixed).features)


def test_blocks_are_short_and_long(mixed):
    lode = lode_of()
    assert [block.name for block in lode.blocks] == ["short", "long"]
    # 6 pairs of l, n, n' for each centre; all 9 pairs, with 3 and 2 radial functions.
    assert [block.width for block in lode.blocks] == [3 * 6 * 27, 3 * 9 * 18]
    assert lode.describe(mixed).features.shape[1] == lode.n_features == 3 * (6 * 27 + 9 * 18)


@pytest.mark.parametrize("cutoff", [None, SMOOTH])
@pytest.mark.parametrize("per_species", [True, False])
def test_force_rows_are_derivatives(mixed, cutoff, per_species):
    hypers = hypers_of(cutoff=cutoff) if cutoff else HYPERS
    lode = lode_of(hypers, per_species=per_species, gradients=("force",))
    forces = lode.describe(mixed, ("force",)).forces
    start = 3 * len(mixed[0])
    width = lode.blocks[0].width
    for atom, axis in ((0, 0), (2, 1)):
        expected = force_row(lode, mixed[1], atom, axis)
        row = forces[start + 3 * atom + axis]
        assert_close(row[:width], expected[:width], 1e-6)
        assert_close(row[width:], expected[width:], 1e-6)


def test_columns_do_not_depend_on_what_is_described_together(mixed):
    lode = lode_of(gradients=("force",))
    together = lode.describe(mixed, ("force",))
    apart = [lode.describe([structure], ("force",)) for structure in mixed]
    for name in ("features", "forces"):
        expected = np.concatenate([getattr(each, name) for each in apart])
        np.testing.assert_array_equal(getattr(together, name), expected)


def test_gradients_in_parts_are_the_same(mixed, monkeypatch):
    lode = lode_of(hypers_of(cutoff=SMOOTH), gradients=("force",))
    expected = lode.describe(mixed, ("force",))
    monkeypatch.setattr(featomic_package, "GRADIENT_BYTES", 1 << 15)
    found = lode.describe(mixed, ("force",))
    np.testing.assert_array_equal(found.features, expected.features)
    assert_close(found.forces, expected.forces, 1e-14)


def test_rotations_change_little(mixed):
    lode = lode_of(hypers_of(cutoff=SMOOTH))
    rotated = [structure.copy() for structure in mixed]
    for structure in rotated:
        structure.rotate(40.0, (1, 2, 3), rotate_cell=True)
    expected = lode.describe(mixed).features
    assert_close(lode.describe(rotated).features, expected, 1e-9)


def test_what_lies_within_the_cutoff_leaves_no_trace_in_the_long_block():
    from ase import Atoms

    box = {"cell": [30.0] * 3, "pbc": True}
    dimer = Atoms("O2", [(0, 0, 0), (0, 1.2, 2.0)], **box)
    apart = Atoms("O2", [(0, 0, 0), (0, 1.2, 5.0)], **box)
    # Decays fast, so that images of the box do not count; k-space is summed to the end.
    power_law = {"type": "SmearedPowerLaw", "smearing": 1.0, "exponent": 6}
    step = {"radius": 3.0, "smoothing": {"type": "Step"}}
    whole = lode_of(hypers_of(density=power_law, k_cutoff=8.0), (8,))
    separated = lode_of(hypers_of(density=power_law, k_cutoff=8.0, cutoff=step), (8,))
    scale = np.abs(long_of(whole, [dimer])).max()
    assert np.abs(long_of(separated, [dimer])).max() < 1e-4 * scale
    # What is beyond the cutoff stays.
    assert np.abs(long_of(separated, [apart])).max() > 1e-2 * scale


def test_only_periodic_structures_are_accepted():
    lode = lode_of(species=(6,))
    lode.check(structures_of(1)[0])
    for pbc in (False, (True, True, False)):
        with pytest.raises(FeatureError, match="periodic in three directions"):
            lode.check(structures_of(1, pbc=pbc)[0])


def test_there_are_no_stress_rows():
    with pytest.raises(RequestError, match=r"lode has no stress rows(.*\n)+.*force rows"):
        lode_of(gradients=("force", "stress"))


def test_hyperparameters_are_needed():
    with pytest.raises(FormatError, match=r"\[short\](.*\n)+.*--hypers.*--featurizer"):
        Lode(FeaturizerOptions((6,)))


def test_angular_momenta_must_agree():
    hypers = copy.deepcopy(HYPERS)
    hypers["long"]["basis"]["max_angular"] = 3
    with pytest.raises(FormatError, match=r"max_angular differs(.*\n)+.*2 and 3"):
        lode_of(hypers)


def test_a_misspelt_key_is_told():
    with pytest.raises(FormatError, match=r"'k_cutof' is not known(.*\n)+.*'k_cutoff'"):
        lode_of(hypers_of(k_cutof=8.0))


def test_estimate_of_memory_grows_with_gradients(mixed):
    lode = lode_of()
    assert lode.n_bytes(mixed[0], ("force",)) > lode.n_bytes(mixed[0]) > 0
