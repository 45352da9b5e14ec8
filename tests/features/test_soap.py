"""SOAP against featomic called directly, finite differences, and the symmetries of space."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
from atoms_builder import count_atoms, structures_of
from differences import assert_close, force_row, stress_row

from prcli.errors import FeatureError, FormatError
from prcli.features import featomic_package
from prcli.features.featurizer import FeaturizerOptions
from prcli.features.soap import DEFAULTS, Soap

featomic = pytest.importorskip("featomic")

SPECIES = (1, 6, 8)
SYMBOLS = ("H", "C", "O")

#: Radial integrals as splines of 1e-10: those of 1e-8 show in second differences.
FINE = copy.deepcopy(DEFAULTS)
FINE["basis"]["spline_accuracy"] = 1e-10


@pytest.fixture(scope="module")
def mixed():
    return structures_of(4, seed=1, symbols=SYMBOLS)


def soap_of(**options):
    return Soap(FeaturizerOptions(options.pop("species", SPECIES), **options))


def directly(structures, *, per_species):
    """featomic's own way from blocks to columns."""
    from metatensor import Labels

    tensor = featomic.SoapPowerSpectrum(**DEFAULTS).compute(structures)
    centres = Labels(["center_type"], np.array([[z] for z in SPECIES]))
    ones = Labels(["neighbor_1_type"], np.array([[z] for z in SPECIES]))
    others = Labels(["neighbor_2_type"], np.array([[z] for z in SPECIES]))
    if per_species:
        tensor = tensor.keys_to_properties(centres)
    else:
        tensor = tensor.keys_to_samples("center_type")
    tensor = tensor.keys_to_properties(ones).keys_to_properties(others)
    block = tensor.block()
    names = block.properties.names
    labels = np.asarray(block.properties.values)
    order = ["center_type"] if per_species else []
    order += ["neighbor_1_type", "neighbor_2_type", "l", "n_1", "n_2"]
    keys = [labels[:, names.index(name)] for name in reversed(order)]
    allowed = labels[:, names.index("neighbor_1_type")] <= labels[:, names.index("neighbor_2_type")]
    columns = np.lexsort(keys)
    columns = columns[allowed[columns]]
    samples = np.asarray(block.samples.values)
    rows = np.lexsort((samples[:, 1], samples[:, 0]))
    return np.asarray(block.values)[np.ix_(rows, columns)]


def test_one_element_is_what_featomic_gives():
    structures = structures_of(3)
    values = featomic.SoapPowerSpectrum(**DEFAULTS).compute(structures).block().values
    soap = soap_of(species=(6,))
    np.testing.assert_array_equal(soap.describe(structures).features, np.asarray(values))
    assert [(b.name, b.width) for b in soap.blocks] == [("C-C", 125)]


@pytest.mark.parametrize("per_species", [True, False])
def test_several_elements_are_what_featomic_gives(mixed, per_species):
    soap = soap_of(per_species=per_species)
    found = soap.describe(mixed).features
    np.testing.assert_array_equal(found, directly(mixed, per_species=per_species))
    assert found.shape[1] == soap.n_features == 6 * 125 * (3 if per_species else 1)


def test_centres_are_told_apart_where_there_are_several_elements():
    assert soap_of().settings["per_species"] is True
    assert soap_of(species=(6,)).settings["per_species"] is False


def test_blocks_name_centre_and_pair(mixed):
    soap = soap_of()
    names = [block.name for block in soap.blocks]
    assert names[:7] == ["H/H-H", "H/H-C", "H/H-O", "H/C-C", "H/C-O", "H/O-O", "C/H-H"]
    features = soap.describe(mixed).features
    numbers = np.concatenate([structure.numbers for structure in mixed])
    for centre, (symbol, number) in enumerate(zip(SYMBOLS, SPECIES, strict=True)):
        columns = slice(centre * 750, (centre + 1) * 750)
        assert names[centre * 6].startswith(f"{symbol}/")
        filled = np.abs(features[:, columns]).max(axis=1) > 0
        np.testing.assert_array_equal(filled, numbers == number)


def test_blocks_without_centres():
    assert [b.name for b in soap_of(per_species=False).blocks][:3] == ["H-H", "H-C", "H-O"]


@pytest.mark.parametrize("gradients", [(), ("force",), ("stress",), ("force", "stress")])
def test_columns_do_not_depend_on_what_is_described_together(mixed, gradients):
    soap = soap_of(gradients=gradients)
    together = soap.describe(mixed, gradients)
    apart = [soap.describe([structure], gradients) for structure in mixed]
    for name in ("features", "forces", "stress"):
        rows = getattr(together, name)
        if rows is None:
            assert all(getattr(each, name) is None for each in apart)
        else:
            expected = np.concatenate([getattr(each, name) for each in apart])
            np.testing.assert_array_equal(rows, expected)


def test_absent_elements_leave_their_columns_zero(mixed):
    more = soap_of(species=(1, 6, 7, 8), per_species=False)
    fewer = soap_of(per_species=False)
    names = [block.name for block in fewer.blocks]
    kept = [block.name in names for block in more.blocks]
    rows = more.describe(mixed).features.reshape(-1, len(kept), 125)
    np.testing.assert_array_equal(
        rows[:, kept].reshape(len(rows), -1), fewer.describe(mixed).features
    )
    assert not rows[:, ~np.array(kept)].any()


@pytest.mark.parametrize("per_species", [True, False])
def test_distinct_columns_keep_products_of_rows(mixed, per_species):
    gradients = ("force", "stress")
    all_columns = soap_of(per_species=per_species).describe(mixed, gradients)
    soap = soap_of(per_species=per_species, distinct=True)
    distinct = soap.describe(mixed, gradients)
    # 3 pairs of equal elements have 5·15 distinct columns each, 3 others 125.
    assert soap.n_features == (3 * 75 + 3 * 125) * (3 if per_species else 1)
    for name in ("features", "forces", "stress"):
        one, other = getattr(all_columns, name), getattr(distinct, name)
        np.testing.assert_allclose(other @ other.T, one @ one.T, rtol=1e-10, atol=1e-14)


def test_rotations_and_shifts_change_nothing(mixed):
    soap = soap_of()
    expected = soap.describe(mixed).features
    moved = [structure.copy() for structure in mixed]
    for structure in moved:
        structure.rotate(40.0, (1, 2, 3), rotate_cell=True)
        structure.translate((3.0, -1.0, 0.5))
    np.testing.assert_allclose(soap.describe(moved).features, expected, atol=1e-10)


@pytest.mark.parametrize("pbc", [True, False, (True, True, False), (False, True, False)])
def test_force_rows_are_derivatives(pbc):
    (structure,) = structures_of(1, seed=5, symbols=SYMBOLS, pbc=pbc)
    soap = soap_of(hypers=FINE, gradients=("force",))
    forces = soap.describe([structure], ("force",)).forces
    assert forces.shape == (3 * len(structure), soap.n_features)
    for atom, axis in ((0, 0), (1, 2), (2, 1)):
        expected = force_row(soap, structure, atom, axis)
        assert_close(forces[3 * atom + axis], expected, 1e-6)


@pytest.mark.parametrize("component", range(6))
def test_stress_rows_are_derivatives(component):
    structures = structures_of(2, seed=5, symbols=SYMBOLS)
    soap = soap_of(hypers=FINE, gradients=("stress",))
    stress = soap.describe(structures, ("stress",)).stress
    assert stress.shape == (12, soap.n_features)
    expected = stress_row(soap, structures[1], component)
    assert_close(stress[6 + component], expected, 1e-6)


def test_forces_on_all_atoms_cancel(mixed):
    forces = soap_of(gradients=("force",)).describe(mixed, ("force",)).forces
    first = 3 * count_atoms(mixed)[0]
    sums = forces[:first].reshape(-1, 3, forces.shape[1]).sum(axis=0)
    assert np.abs(sums).max() <= 1e-12 * np.abs(forces).max()


def test_gradients_in_parts_are_the_same(mixed, monkeypatch):
    gradients = ("force", "stress")
    soap = soap_of(gradients=gradients)
    expected = soap.describe(mixed, gradients)
    parts = []
    compute = soap._calculator.compute

    def counted(systems, **options):
        parts.append(options["selected_samples"])
        return compute(systems, **options)

    monkeypatch.setattr(soap._calculator, "compute", counted)
    monkeypatch.setattr(featomic_package, "GRADIENT_BYTES", 1 << 20)
    found = soap.describe(mixed, gradients)
    assert len(parts) > 2
    np.testing.assert_array_equal(found.features, expected.features)
    for name in ("forces", "stress"):
        assert_close(getattr(found, name), getattr(expected, name), 1e-14)


@pytest.mark.parametrize("pbc", [(True, True, False), (True, False, False)])
def test_partly_periodic_structures_see_no_image_across(pbc):
    (structure,) = structures_of(1, seed=7, pbc=pbc)
    soap = soap_of(species=(6,))
    found = soap.describe([structure]).features
    # Images along the periodic vectors, as atoms of a cluster.
    tiles = structure.repeat([7 if flag else 1 for flag in pbc])
    tiles.pbc = False
    tiles.cell = None
    middle = (7 ** sum(pbc) // 2) * len(structure)
    expected = soap.describe([tiles]).features[middle : middle + len(structure)]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_a_cell_without_periodicity_is_no_cell(mixed):
    soap = soap_of()
    cluster = mixed[0].copy()
    cluster.pbc = False
    bare = cluster.copy()
    bare.cell = None
    np.testing.assert_array_equal(soap.describe([cluster]).features, soap.describe([bare]).features)
    assert cluster.cell.any()


def test_left_handed_cells_are_described(mixed):
    soap = soap_of(gradients=("stress",))
    mirrored = mixed[0].copy()
    mirrored.set_cell(mirrored.cell.array[[1, 0, 2]])
    found, expected = (soap.describe([each], ("stress",)) for each in (mirrored, mixed[0]))
    np.testing.assert_allclose(found.features, expected.features, atol=1e-12)
    np.testing.assert_allclose(found.stress, expected.stress, atol=1e-12)


def test_no_neighbours_is_no_error():
    from ase import Atoms

    soap = soap_of(gradients=("force",))
    lone = soap.describe([Atoms("O", [(0, 0, 0)])], ("force",))
    assert lone.features.any()
    assert not lone.forces.any()


def test_estimate_of_memory_grows_with_what_is_computed(mixed):
    soap = soap_of()
    amounts = [soap.n_bytes(mixed[0], kinds) for kinds in ((), ("force",), ("force", "stress"))]
    assert amounts[0] >= 8 * len(mixed[0]) * soap.n_features
    assert amounts == sorted(set(amounts))


def test_settings_tell_all_that_decides():
    settings = soap_of(distinct=True).settings
    assert settings["hypers"] == DEFAULTS
    assert settings["species"] == ["H", "C", "O"]
    assert settings["distinct"] is True
    assert settings["featomic"] == featomic.__version__


def test_empty_hyperparameters_are_not_the_defaults():
    with pytest.raises(FormatError, match="key 'cutoff' is missing"):
        soap_of(hypers={})


def test_what_featomic_refuses_is_told():
    hypers = copy.deepcopy(DEFAULTS)
    hypers["basis"]["radial"] = {"type": "Tabulated", "points": []}
    with pytest.raises(FeatureError, match=r"does not take these hyperparameters\n.*my.toml"):
        soap_of(hypers=hypers, where="my.toml")


def test_warnings_of_featomic_go_our_way(caplog):
    from ase import Atoms

    with caplog.at_level(logging.WARNING, logger="prcli"):
        soap_of(species=(6,)).describe([Atoms("C2", [(0, 0, 0), (0, 0, 1e-4)])])
    assert "featomic" in caplog.text
    assert "close" in caplog.text
