from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.data.columns import atom_column, composition, species
from prcli.elements import SYMBOLS
from prcli.errors import FeatureError, FormatError, InputFileError

FRAME = (
    b'3\nProperties=species:S:1:pos:R:3:tag:S:1:fixed:L:1:features:R:2:n:I:1 note="x"\r\n'
    b"C 0 0.5 1e-3 a T 1.5 -2 7\r\nTa 1 1 1 b F nan inf 8\r\n  c 2 2 2 c F 0.1 0.2 9  \r\n"
)


def test_species_are_atomic_numbers():
    numbers = species(FRAME)
    assert numbers.tolist() == [6, 73, 6]
    assert numbers.dtype == np.uint8


def test_plain_xyz_has_symbols_first():
    assert species(b"2\nwater, cut\nO 0 0 0\nH 1 0 0").tolist() == [8, 1]


def test_symbols_need_not_be_first():
    assert species(b"1\nProperties=pos:R:3:species:S:1\n0 0 0 Si\n").tolist() == [14]


def test_integers_named_z_are_elements():
    assert species(b"2\nProperties=Z:I:1:pos:R:3\n73 0 0 0\n0 1 1 1\n").tolist() == [73, 0]


@given(st.lists(st.integers(0, 118), max_size=6))
def test_every_symbol_is_known(numbers):
    lines = "".join(f"{SYMBOLS[number]} 0 0 0\n" for number in numbers)
    assert species(f"{len(numbers)}\n\n{lines}".encode()).tolist() == numbers


def test_unknown_symbol_names_frame_and_atom():
    with pytest.raises(FormatError, match=r"f\.xyz, frame 3, atom 1\n.*\n  got: +'C1'"):
        species(b"2\n\nC 0 0 0\nC1 0 0 0\n", where="f.xyz, frame 3")


@pytest.mark.parametrize("number", ["119", "-1", "1.5"])
def test_unknown_number_is_an_error(number):
    with pytest.raises(FormatError, match=rf"atom 0\n.*\n  got: +{number}"):
        species(f"1\nProperties=Z:I:1:pos:R:3\n{number} 0 0 0\n".encode())


def test_without_elements_is_an_error():
    with pytest.raises(FormatError, match=r"no column of elements(.*\n)+.*pos:R:3"):
        species(b"1\nProperties=pos:R:3\n0 0 0\n")


def test_empty_atom_line_is_an_error():
    with pytest.raises(InputFileError, match=r"atom line has too few fields\n  where: +atom 1"):
        species(b"2\n\nC 0 0 0\n\n")


def test_composition_counts_by_atomic_number():
    assert composition(species(FRAME)) == {"C": 2, "Ta": 1}
    assert list(composition(np.array([73, 6, 73], dtype=np.uint8)).items()) == [("C", 1), ("Ta", 2)]


def test_column_of_any_width():
    np.testing.assert_array_equal(
        atom_column(FRAME, "features"), [[1.5, -2], [np.nan, np.inf], [0.1, 0.2]]
    )
    np.testing.assert_array_equal(atom_column(FRAME, "n"), [[7], [8], [9]])


def test_column_equals_that_of_ase(tmp_path):
    import ase.io
    from ase.build import bulk

    atoms = bulk("Si", cubic=True)
    atoms.new_array("features", np.random.default_rng(1).normal(size=(8, 5)))
    path = tmp_path / "f.xyz"
    ase.io.write(path, atoms, format="extxyz")
    read = ase.io.read(path)
    np.testing.assert_array_equal(
        atom_column(path.read_bytes(), "features"), read.arrays["features"]
    )


def test_frame_without_atoms_has_an_empty_column():
    assert atom_column(b"0\n\n", "pos").shape == (0, 3)


def test_absent_column_lists_those_there():
    with pytest.raises(FeatureError, match=r"'forces' is absent\n  where: +frame 2(.*\n)+.*n:I:1"):
        atom_column(FRAME, "forces", where="frame 2")


@pytest.mark.parametrize("key", ["tag", "fixed"])
def test_column_without_numbers_is_an_error(key):
    with pytest.raises(FeatureError, match=f"'{key}' is not numeric"):
        atom_column(FRAME, key)


def test_wrong_number_names_the_atom():
    with pytest.raises(FormatError, match=r"where: +frame 0, atom 1\n  got: +1 x 1"):
        atom_column(b"2\n\nC 0 0 0\nC 1 x 1\n", "pos", where="frame 0")


def test_short_line_is_an_error():
    with pytest.raises(InputFileError, match=r"expected: at least 4\n  got: +3"):
        atom_column(b"1\n\nC 0 0\n", "pos")


def test_missing_lines_are_an_error():
    with pytest.raises(InputFileError, match=r"expected: 3 atom lines\n  got: +2"):
        atom_column(b"3\n\nC 0 0 0\nC 0 0 0", "pos")


@pytest.mark.parametrize(
    "text",
    [
        "species:S",
        "a:Q:1",
        "a:R:0",
        "a:R:x",
        ":R:1",
        "a:R:1:a:R:1",
        "a:R:1:",
        "a:R:1::b:R:1",
        "::a:R:1",
        "a:R:+1",
        '""',
    ],
)
def test_wrong_properties_are_an_error(text):
    with pytest.raises(FormatError, match="Properties cannot be understood"):
        atom_column(f"1\nProperties={text}\nC 0 0 0\n".encode(), "pos")


def test_names_with_double_colons():
    frame = b"1\nProperties=species:S:1:mtt::aux::spread:R:2:pos:R:3:a::b:R:1\nC 1 2 3 4 5 6\n"
    assert atom_column(frame, "mtt::aux::spread").tolist() == [[1, 2]]
    assert atom_column(frame, "pos").tolist() == [[3, 4, 5]]
    assert atom_column(frame, "a::b").tolist() == [[6]]
