from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prcli.data.comment_line import comment, comment_values, lattice_volume, parse_comment
from prcli.data.comment_pairs import comment_pairs

CASTEP_LIKE = (
    r'Lattice="2.3 0.0 0.0 -1.1 1.9 0.0 0.0 0.2 6.2" '
    r"Properties=species:S:1:pos:R:3:frac_pos:R:3 energy=-632.1 config_type=bulk_cryst "
    r'cut_off_energy="650 eV" spin_polarized=F kpoints_mp_grid="17 17 6" '
    r'virial="17.6 0.9 0.1 0.9 19.1 0.3 0.1 0.3 1.5" popn=T run=1e-08 nested="a \"b c\" d" '
    r"units={1 2 3} list=[0.5,1.5] has_forces single='it is' path=a=b=c spaced = 4 pbc=\"T F T\""
)


def check_like_ase(ours: object, theirs: object) -> None:
    """Compare a value with ASE's, which has numpy scalars and lists for some of ours."""
    if isinstance(theirs, np.ndarray | list):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    elif isinstance(theirs, float | np.floating) and math.isnan(theirs):
        assert isinstance(ours, float)
        assert math.isnan(ours)
    else:
        assert ours == theirs
        assert isinstance(ours, str) == isinstance(theirs, str)


def check_line_like_ase(line: str) -> None:
    from ase.io.extxyz import key_val_str_to_dict

    theirs = key_val_str_to_dict(line)
    ours = parse_comment(line.encode())
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        check_like_ase(ours[key], value)


key_text = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda key: key not in ("Lattice", "virial", "stress")
)
number_text = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=True).map(repr),
    st.sampled_from(["+5", "-0", "1_0", ".5", "1.", "1d0", "0x1f", "T", "F", "true", "FALSE", "t"]),
)
bare_text = st.text("abXY0129_.:;/*@,+-~é", min_size=1, max_size=12)
words = st.lists(number_text | bare_text, min_size=1, max_size=9).map(" ".join)
quoted_text = st.text("ab0 1.\t,=}{[']é", min_size=1, max_size=15).filter(str.strip)
plain_chars = st.text("ab0 1.,\t=", min_size=1, max_size=15).filter(str.strip)


def in_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


value_text = st.one_of(
    number_text,
    bare_text,
    (words | quoted_text).map(in_quotes),
    (words | plain_chars).map("'{}'".format),
    (words | plain_chars).map("{{{}}}".format),
    (words | plain_chars).map("[{}]".format),
)
pair_text = st.one_of(
    key_text,
    st.builds("{}={}".format, key_text, value_text),
    st.builds("{} = {}".format, key_text, value_text),
    st.builds("{}= {}".format, key_text, bare_text),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(pair_text, min_size=1, max_size=6).map(" ".join))
@example(CASTEP_LIKE)
@example(r'a=\"b\" c=d\ e "f g"=5 uid=12 h="1,2;3" k=\'')
@example('metadata="_JSON {\\"a\\": [1, 2]}" m="_JSON [[1, 2], [3, 4]]" s="_JSON [\\"x\\"]"')
def test_values_are_those_of_ase(line):
    check_line_like_ase(line)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text("a=1 \"'{}[]\\,\t", max_size=25).map(str.encode))
def test_no_line_is_an_error(line):
    parse_comment(line)
    lattice_volume(line)
    assert comment_values(line, ["a", "é"]).keys() <= {"a", "é"}
    for pair in comment_pairs(line):
        assert 0 <= pair.start <= pair.end <= len(line)


@pytest.mark.parametrize(
    "line",
    [b'x="_JSON {broken"', b'x="_JSON [[1], [2, 3]]"', b'x="_JSON ' + b"[" * 100_000 + b'"'],
)
def test_broken_json_is_text_or_a_list(line):
    assert isinstance(parse_comment(line)["x"], str | list)


def test_vectors_are_float64_and_flags_are_true():
    values = parse_comment(b'kpoints="17 17 6" spin')
    assert isinstance(values["kpoints"], np.ndarray)
    assert values["kpoints"].dtype == np.float64
    assert values["spin"] is True


@pytest.mark.parametrize("key", ["Lattice", "virial", "stress"])
def test_nine_numbers_are_a_matrix_in_fortran_order(key):
    value = parse_comment(f'{key}="1 2 3 4 5 6 7 8 9"'.encode())[key]
    np.testing.assert_array_equal(value, [[1, 4, 7], [2, 5, 8], [3, 6, 9]])


def test_matrix_of_another_size_is_kept():
    np.testing.assert_array_equal(parse_comment(b'stress="1 2 3 4 5 6"')["stress"], range(1, 7))


@pytest.mark.parametrize("text", [b"[[1, 2], [3, 4]]", b"{{1 2} {3 4}}", b"[[1 2][3 4]]"])
def test_nested_brackets_are_a_matrix(text):
    values = parse_comment(b"a=1 m=" + text + b" b=2")
    np.testing.assert_array_equal(values["m"], [[1, 2], [3, 4]])
    assert values["b"] == 2


@pytest.mark.parametrize("text", ["[[1, 2], [3]]", "[[a], [b]]", "[x [1 2]]"])
def test_nested_brackets_without_a_matrix_are_text(text):
    assert parse_comment(f"m={text}".encode())["m"] == text[1:-1]


def test_empty_quotes_are_an_empty_string():
    assert parse_comment(b'a="" b=1') == {"a": "", "b": 1}


def test_last_of_equal_keys_holds():
    assert parse_comment(b"a=1 a=2") == {"a": 2}


def test_latin_1_is_read():
    assert parse_comment("author=Müller n=1".encode("latin-1")) == {"author": "Müller", "n": 1}


def test_utf_8_is_read():
    # Its bytes are no spaces, though Latin-1 would take the second one for one.
    assert parse_comment('author="à la"'.encode()) == {"author": "à la"}


def test_few_values_equal_those_of_the_whole_line():
    line = CASTEP_LIKE.encode()
    whole = parse_comment(line)
    some = comment_values(line, ["energy", "nested", "absent", "spin_polarized"])
    assert some == {key: whole[key] for key in ("energy", "nested", "spin_polarized")}


def test_key_within_a_string_is_no_key():
    assert comment_values(b'note="energy=5 eV" energy=3', ["energy"]) == {"energy": 3}
    assert comment_values(b'note="energy=5 eV"', ["energy"]) == {}


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_comment_is_the_second_line(newline):
    assert comment(b"1" + newline + b"a=1 " + newline + b"C 0 0 0" + newline) == b"a=1 "
    assert comment(b"0" + newline + b"a=1") == b"a=1"


@pytest.mark.parametrize(
    "line",
    [
        b'Lattice="2 0 0 0 -3 0 1 0 4" pbc="T T T"',
        b'energy=1 Lattice="2 0 0 0 -3 0 1 0 4"',
        b"Lattice = {2,0,0,0,-3,0,1,0,4}",
        b"Lattice=[[2,0,0],[0,-3,0],[1,0,4]]",
        b'Lattice="9 0 0 0 9 0 0 0 9" Lattice="2 0 0 0 -3 0 1 0 4"',
    ],
)
def test_volume(line):
    assert lattice_volume(line) == 24.0


def test_volume_is_that_of_ase():
    from ase.cell import Cell

    cell = np.random.default_rng(5).normal(size=(3, 3))
    line = f'Lattice="{" ".join(map(repr, cell.ravel().tolist()))}"'.encode()
    assert lattice_volume(line) == pytest.approx(Cell(cell).volume, rel=1e-12)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"energy=1",
        b'Lattice="2 0 0 0 3 0 0 0 0"',
        b'Lattice="2 0 0 0 3 0 0 0"',
        b'Lattice="a b c d e f g h i"',
        b'note="Lattice=1"',
        b"Lattice",
    ],
)
def test_without_a_cell_the_volume_is_nan(line):
    assert math.isnan(lattice_volume(line))
