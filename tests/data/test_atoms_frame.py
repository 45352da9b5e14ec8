from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import read
from foreign_structures import rich_structures
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prcli.data.atoms_frame import write_frame
from prcli.data.columns import atom_column, species
from prcli.data.conversion_notes import ConversionNotes
from prcli.data.geometry import read_geometry

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


def converted(atoms: Atoms, notes: ConversionNotes | None = None) -> bytes:
    return write_frame(atoms, notes or ConversionNotes())


def read_back(atoms: Atoms, notes: ConversionNotes | None = None) -> Atoms:
    return read(StringIO(converted(atoms, notes).decode()), index=0, format="extxyz")


def bits(values: object) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


@settings(deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 3), st.just(3)), elements=FINITE),
    arrays(np.float64, (3, 3), elements=FINITE),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_geometry_is_exact_to_the_last_bit(positions, cell, pbc):
    atoms = Atoms(["C"] * len(positions), positions, cell=cell, pbc=pbc)
    found = read_back(atoms)
    assert bits(found.positions) == bits(positions)
    assert bits(found.cell.array) == bits(cell if cell.any() else np.zeros((3, 3)))
    assert found.pbc.tolist() == list(pbc)


@pytest.mark.parametrize("atoms", rich_structures(8), ids=str)
def test_all_that_a_structure_has_reads_back_with_ase(atoms):
    found = read_back(atoms)
    assert found.numbers.tolist() == atoms.numbers.tolist()
    assert bits(found.positions) == bits(atoms.positions)
    assert bits(found.cell.array) == bits(atoms.cell.array)
    assert found.pbc.tolist() == atoms.pbc.tolist()
    assert set(found.info) == set(atoms.info)
    for key, value in atoms.info.items():
        assert np.array_equal(found.info[key], value)
        assert isinstance(found.info[key], str) == isinstance(value, str)
    assert set(found.arrays) == set(atoms.arrays)
    for name, values in atoms.arrays.items():
        assert np.array_equal(found.arrays[name], values)
        assert found.arrays[name].dtype.kind == values.dtype.kind
    assert set(found.calc.results) == set(atoms.calc.results)
    for name, value in atoms.calc.results.items():
        assert bits(found.calc.results[name]) == bits(value)


@pytest.mark.parametrize("atoms", rich_structures(4), ids=str)
def test_our_readers_take_it_for_extxyz(atoms):
    frame = converted(atoms)
    assert species(frame).tolist() == atoms.numbers.tolist()
    geometry = read_geometry(frame)
    assert bits(geometry.positions) == bits(atoms.positions)
    assert geometry.pbc == tuple(atoms.pbc.tolist())
    assert bits(atom_column(frame, "forces")) == bits(atoms.calc.results["forces"])


def test_frame_is_the_same_every_time():
    first, second = (rich_structures(3, seed=4)[2] for _ in range(2))
    assert converted(first) == converted(second)


def test_layout_of_a_frame():
    atoms = Atoms("OH", [[0, 0, 0.1], [0, 1, 0]], cell=[3, 4, 5], pbc=[True, True, False])
    atoms.info = {"name": "w", "flag": False}
    atoms.set_array("layer", np.array([1, -2]))
    atoms.set_array("fixed", np.array([True, False]))
    atoms.set_array("label", np.array(["a1", "b"]))
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, forces=np.eye(3)[:2])
    assert converted(atoms).decode() == (
        '2\nLattice="3.0 0.0 0.0 0.0 4.0 0.0 0.0 0.0 5.0" '
        "Properties=species:S:1:pos:R:3:layer:I:1:fixed:L:1:label:S:1:forces:R:3 "
        'name=w flag=F energy=-1.5 pbc="T T F"\n'
        "O 0.0 0.0 0.1 1 T a1 1.0 0.0 0.0\n"
        "H 0.0 1.0 0.0 -2 F b 0.0 1.0 0.0\n"
    )


def test_structure_without_cell_has_no_lattice():
    assert converted(Atoms("H")).decode().splitlines()[1] == (
        'Properties=species:S:1:pos:R:3 pbc="F F F"'
    )


def test_no_atoms():
    frame = converted(Atoms(cell=[1, 1, 1], info={"a": 1}))
    assert frame.startswith(b"0\n")
    assert frame.count(b"\n") == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.longdouble])
def test_other_floats_are_exact_as_doubles(dtype):
    atoms = Atoms("HH")
    values = np.array([1 / 3, -1e-3], dtype=dtype)
    atoms.set_array("charges_of_mine", values)
    assert bits(read_back(atoms).arrays["charges_of_mine"]) == bits(values.astype(np.float64))


def test_single_column_of_width_one():
    atoms = Atoms("HH")
    atoms.set_array("x", np.array([[1 / 3], [2 / 3]]))
    assert bits(read_back(atoms).arrays["x"]) == bits([1 / 3, 2 / 3])


@pytest.mark.parametrize("text", ["left side", "", "tab\tstop", "no\u00a0break"])
def test_texts_that_are_no_fields_become_a_list_in_the_comment_line(text):
    atoms = Atoms("HH")
    atoms.set_array("note", np.array([text, "other"]))
    assert read_back(atoms).info["note"] == [text, "other"]


def test_results_of_another_number_of_atoms_become_a_list_in_the_comment_line():
    atoms = Atoms("HH")
    atoms.calc = SinglePointCalculator(Atoms("HHH"), forces=np.eye(3))
    frame = converted(atoms)
    assert b'forces="_JSON [[1.0, 0.0, 0.0], ' in frame
    assert b"pos:R:3 " in frame


def test_values_that_the_user_has_as_well_are_written_once():
    atoms, notes = Atoms("H", info={"energy": -2.0}), ConversionNotes()
    atoms.set_array("forces", np.ones((1, 3)))
    atoms.calc = SinglePointCalculator(atoms, energy=-2.0, forces=np.ones((1, 3)))
    assert converted(atoms, notes).decode().splitlines()[1] == (
        'Properties=species:S:1:pos:R:3:forces:R:3 energy=-2.0 pbc="F F F"'
    )
    assert not notes.renamed


def test_more_dimensions_are_laid_out_in_one_row():
    atoms = Atoms("HH")
    atoms.set_array("tensor", np.arange(12.0).reshape(2, 2, 3))
    assert read_back(atoms).arrays["tensor"].tolist() == np.arange(12.0).reshape(2, 6).tolist()


def test_charges_of_a_calculator_go_where_ase_looks_for_them():
    atoms = Atoms("HO")
    atoms.calc = SinglePointCalculator(atoms, charges=np.array([0.25, -1 / 3]))
    assert b":charge:R:1" in converted(atoms)
    assert bits(read_back(atoms).get_charges()) == bits([0.25, -1 / 3])


def test_results_come_first_where_the_user_has_other_values_of_that_name():
    atoms = Atoms("H", info={"energy": -1.0, "free_energy": 0.5})
    atoms.set_array("forces", np.ones((1, 3)))
    atoms.calc = SinglePointCalculator(atoms, energy=-2.0, free_energy=0.5, forces=np.zeros((1, 3)))
    notes = ConversionNotes()
    found = read_back(atoms, notes)
    assert found.calc.results["energy"] == -2.0
    assert found.info == {"info_energy": -1.0}
    assert found.arrays["array_forces"].tolist() == [[1.0, 1.0, 1.0]]
    assert list(notes.renamed) == [("forces", "array_forces"), ("energy", "info_energy")]


def test_what_says_what_a_frame_is_cannot_be_overwritten():
    atoms = Atoms("HO", [[0, 0, 0], [0, 0, 1]], cell=[2, 2, 2], pbc=True)
    atoms.info = {"Lattice": 1, "Properties": "none", "pbc": "no", "stress": "high", "a\nb": 2}
    for name in ("Z", "species", "pos", "charge", "move_mask", "a:b c"):
        atoms.set_array(name, np.array([6, 7]))
    notes = ConversionNotes()
    found = read_back(atoms, notes)
    assert found.numbers.tolist() == [1, 8]
    assert species(converted(atoms)).tolist() == [1, 8]
    assert found.info == {
        "info_Lattice": 1,
        "info_Properties": "none",
        "info_pbc": "no",
        "info_stress": "high",
        "a_b": 2,
    }
    renamed = ("array_Z", "array_species", "array_pos", "array_charge", "array_move_mask", "a_b_c")
    assert set(renamed) <= set(found.arrays)
    assert len(notes.renamed) == 11
    assert "renamed 'Z' to 'array_Z'" in str(notes)


def test_constraints_are_left_out_and_counted():
    atoms, notes = Atoms("HO", constraint=FixAtoms([0])), ConversionNotes()
    assert not read_back(atoms, notes).constraints
    converted(Atoms("H"), notes)
    assert (notes.n_structures, notes.n_constrained) == (2, 1)
    assert "constraints of 1 left out" in str(notes)


def test_what_no_text_holds_is_named():
    notes = ConversionNotes()
    atoms = Atoms("H", info={"model": object(), "kept": 1})
    assert read_back(atoms, notes).info == {"kept": 1}
    assert "left out what text cannot hold: 'model'" in str(notes)


def test_space_group_is_written_as_its_symbol():
    from ase.spacegroup import Spacegroup

    assert read_back(Atoms("H", info={"spacegroup": Spacegroup(225)})).info == {
        "spacegroup": "F m -3 m"
    }


def test_nothing_is_computed():
    class Counting:
        def __init__(self) -> None:
            self.results: dict[str, object] = {}

        def get_property(self, *_: object) -> float:
            raise AssertionError("a calculator was asked to work")

    atoms = Atoms("H")
    atoms.calc = Counting()
    assert b"energy" not in converted(atoms)
