from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.data.geometry import read_geometry
from prcli.errors import FeatureError, FormatError, InputFileError

LATTICE = 'Lattice="5 0 0 1 5.5 0 0 2 6"'


def frame_of(comment: str, lines: str = "C 0 0.5 1e-3\nTa 1 2 3\n", tail: str = "") -> bytes:
    return f"{len(lines.splitlines())}\n{comment}\n{lines}{tail}".encode()


@pytest.mark.parametrize(
    "comment",
    [
        LATTICE,
        "",
        "only words",
        f'{LATTICE} pbc="T T F"',
        f'{LATTICE} pbc="1 1 0"',
        f"{LATTICE} pbc=F",
        f'{LATTICE} pbc="true FALSE T"',
        "Lattice={5 0 0 1 5 0 0 2 5}",
        'pbc="F F F"',
        'Lattice="5 0 0 0 5 0 0 0 0" pbc="T T F"',
    ],
)
def test_geometry_is_what_ase_reads(comment):
    from ase.io import read

    content = frame_of(comment)
    atoms = read(io.StringIO(content.decode()), format="extxyz")
    geometry = read_geometry(content)
    np.testing.assert_array_equal(geometry.numbers, atoms.numbers)
    np.testing.assert_array_equal(geometry.positions, atoms.positions)
    np.testing.assert_array_equal(geometry.cell, atoms.cell.array)
    assert geometry.pbc == tuple(atoms.pbc)


def test_vector_lines_are_a_cell():
    from ase.io import read

    content = frame_of("words", tail="VEC1 3 0 0\nVEC2 0 4 1\n")
    atoms = read(io.StringIO(content.decode()), format="extxyz")
    geometry = read_geometry(content)
    np.testing.assert_array_equal(geometry.cell, atoms.cell.array)
    assert geometry.pbc == tuple(atoms.pbc) == (True, True, False)


@pytest.mark.parametrize(
    ("comment", "lines"),
    [
        ("Properties=pos:R:3:tag:S:1:species:S:1", "0 1 2 a C\n3 4 5 b  Ta\n"),
        ("Properties=species:S:1:positions:R:3:q:R:2", "C 0 1 2 9 9\nTa 3 4 5 9 9\n"),
        ("Properties=Z:I:1:pos:R:3", "6 0 1 2\n73 3 4 5\n"),
        ("Properties=species:S:1:pos:R:3", "c 0 1 2\r\nTa 3 4 5\r\n"),
        ("Properties=species:S:1:pos:R:3", "C 0 1 2 more\nTa 3 4 5\n"),
    ],
)
def test_columns_may_stand_anywhere(comment, lines):
    geometry = read_geometry(frame_of(comment, lines))
    assert geometry.numbers.tolist() == [6, 73]
    np.testing.assert_array_equal(geometry.positions, [[0, 1, 2], [3, 4, 5]])


def test_a_lattice_without_pbc_is_told():
    assert not read_geometry(frame_of(LATTICE)).states_pbc
    assert read_geometry(frame_of(f"{LATTICE} pbc=T")).states_pbc


def test_volume_needs_three_directions():
    assert read_geometry(frame_of(LATTICE)).volume == pytest.approx(5 * 5.5 * 6)
    assert read_geometry(frame_of(f'{LATTICE} pbc="T T F"')).volume == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_positions_come_back_exactly(position):
    line = " ".join(map(repr, position))
    geometry = read_geometry(frame_of("", f"H {line}\n"))
    assert geometry.positions.tolist() == [position]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_position_that_is_not_finite(value):
    with pytest.raises(InputFileError, match=rf"f, atom 1\n.*\n  got: +y = {value}"):
        read_geometry(frame_of("", f"C 0 0 0\nC 0 {value} 0\n"), "f")


@pytest.mark.parametrize(
    "comment",
    [
        'Lattice="5 6 7"',
        "Lattice=[[5,0,0],[0,5,0],[0,0,5]]",
        "Lattice=cubic",
        'Lattice="5 0 0 0 5 0 0 0 x"',
        'Lattice="5 0 0 0 nan 0 0 0 5"',
    ],
)
def test_lattice_that_is_none(comment):
    with pytest.raises(FormatError, match=r"Lattice (cannot be understood|is not finite)\n.*f, "):
        read_geometry(frame_of(comment), "f, frame 2")


@pytest.mark.parametrize("value", ['"T T"', "yes", '"0 1 2"', '"0.5 0 0"'])
def test_pbc_that_is_none(value):
    with pytest.raises(FormatError, match="pbc cannot be understood"):
        read_geometry(frame_of(f"{LATTICE} pbc={value}"))


@pytest.mark.parametrize(
    "comment",
    [
        'pbc="T T T"',
        'Lattice="0 0 0 0 0 0 0 0 0"',
        'Lattice="5 0 0 0 5 0 5 5 0"',
        'Lattice="5 0 0 10 0 0 0 0 5" pbc="T T F"',
    ],
)
def test_periodic_without_a_cell(comment):
    with pytest.raises(FormatError, match="span no cell"):
        read_geometry(frame_of(comment))


def test_without_positions():
    with pytest.raises(FeatureError, match="'pos' is absent"):
        read_geometry(frame_of("Properties=species:S:1", "C\n"))
    with pytest.raises(FormatError, match="three components"):
        read_geometry(frame_of("Properties=species:S:1:pos:R:2", "C 1 2\n"))


def test_a_short_line_is_not_made_up_by_the_next_one():
    lines = "C 0 0\nTa 1 2 3 4\n"
    with pytest.raises(InputFileError, match="atom 0"):
        read_geometry(frame_of("", lines))
