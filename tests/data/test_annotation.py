from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.data.annotation import add_column, annotate, format_value
from prcli.data.columns import atom_column
from prcli.data.comment_line import comment, comment_values, parse_comment
from prcli.errors import FormatError, MismatchError

VECTORS = b"VEC1 4 0 0\nVEC2 0 4 0\nVEC3 0 0 4\n"


def make_frame(comment_line: bytes, newline: bytes = b"\n", end: bool = True) -> bytes:
    lines = [b"2", comment_line, b"C 0 0 0  ", b"\tSi 1  2 3"]
    return newline.join(lines) + (newline if end else b"")


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("line", [b"", b"energy=1", b'a="x y"  ', "café".encode("latin-1")])
def test_key_is_added_before_the_line_ending(newline, line):
    annotated = annotate(make_frame(line, newline), {"prcli_rank": 3, "prcli_gain": 0.1})
    assert annotated == make_frame(line + b" prcli_rank=3 prcli_gain=0.1", newline)


def test_frame_without_atoms_and_newline_is_annotated():
    assert annotate(b"0\na=1", {"b": 2}) == b"0\na=1 b=2"


@given(st.floats(allow_nan=False))
def test_reals_read_back_exactly(value):
    line = comment(annotate(make_frame(b"a=1"), {"x": value}))
    found = comment_values(line, ["x"])["x"]
    assert found == value


@given(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1))
def test_text_reads_back(text):
    line = comment(annotate(make_frame(b"a=1"), {"uid": text, "b": True}))
    assert parse_comment(line) == {"a": 1, "uid": text, "b": True}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "T"),
        (np.bool_(False), "F"),
        (np.int64(7), "7"),
        (np.float64(0.1), "0.1"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        ("bulk", "bulk"),
        ("a b", '"a b"'),
        ('say "x\\"', r'"say \"x\\\""'),
        ("", '""'),
        (np.array([1.5, 2.0]), '"1.5 2.0"'),
        (np.array([True, False]), '"T F"'),
    ],
)
def test_values_are_written_as_in_comment_lines(value, text):
    assert format_value(value) == text


@pytest.mark.parametrize("value", [None, "a\nb", [1, 2], np.eye(2)])
def test_other_values_are_refused(value):
    with pytest.raises(FormatError, match="value cannot be written"):
        annotate(make_frame(b""), {"x": value})


@pytest.mark.parametrize("key", ["", "a b", "1a", "a=b", "a:b", 'a"', "é"])
def test_other_names_are_refused(key):
    with pytest.raises(FormatError, match="name cannot be written"):
        annotate(make_frame(b""), {key: 1})
    with pytest.raises(FormatError, match="name cannot be written"):
        add_column(make_frame(b""), key, [1.0, 2.0])


def test_existing_key_is_refused():
    with pytest.raises(FormatError, match=r"key 'energy' is there already\n  where: +f, frame 1"):
        annotate(make_frame(b"energy=1"), {"energy": 2}, where="f, frame 1")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a=1 x=old b=2", b"a=1 x=2.5 b=2"),
        (b'a=1 x="old one" b=2', b"a=1 x=2.5 b=2"),
        (b"a=1 x = [1, 2]  b=2", b"a=1 x = 2.5  b=2"),
        (b"x b=2", b"x=2.5 b=2"),
        (b"b=2 x", b"b=2 x=2.5"),
        (b"x=1 b=2 x=3", b"x=1 b=2 x=2.5"),
        (b"b=2", b"b=2 x=2.5"),
    ],
)
def test_overwriting_replaces_the_value_alone(before, after):
    assert annotate(make_frame(before), {"x": 2.5}, overwrite=True) == make_frame(after)


@pytest.mark.parametrize("line", [b'note="open', b"note={open", b"note=", b"note\\"])
def test_unclosed_line_takes_no_key(line):
    with pytest.raises(FormatError, match="comment line cannot take another key"):
        annotate(make_frame(line), {"x": 1})
    with pytest.raises(FormatError, match="comment line cannot take another key"):
        add_column(make_frame(line), "x", [1.0, 2.0])


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("end", [True, False])
def test_column_is_added_at_the_end_of_lines(newline, end):
    frame = make_frame(b"Properties=species:S:1:pos:R:3 a=1", newline, end)
    expected = frame.replace(b"pos:R:3", b"pos:R:3:lpr:R:1")
    expected = expected.replace(b"C 0 0 0  ", b"C 0 0 0   0.1").replace(b"1  2 3", b"1  2 3 1e-30")
    assert add_column(frame, "lpr", [0.1, 1e-30]) == expected


def test_plain_xyz_gets_properties():
    frame = add_column(make_frame(b"a molecule"), "lpr", [1.5, -2.0])
    line = b"a molecule Properties=species:S:1:pos:R:3:lpr:R:1"
    assert comment(frame) == line
    np.testing.assert_array_equal(atom_column(frame, "lpr"), [[1.5], [-2.0]])


def test_quoted_properties_are_extended_within_the_quotes():
    frame = add_column(make_frame(b'Properties="species:S:1:pos:R:3" b=1'), "lpr", [1.0, 2.0])
    assert comment(frame) == b'Properties="species:S:1:pos:R:3:lpr:R:1" b=1'


def test_vectors_after_the_atoms_stay():
    frame = add_column(make_frame(b"") + VECTORS, "lpr", [1.0, 2.0])
    assert frame.endswith(b"3 2.0\n" + VECTORS)


@given(st.lists(st.floats(), max_size=5))
def test_column_reads_back_exactly(values):
    lines = b"".join(b"C 0 0 %d\n" % atom for atom in range(len(values)))
    frame = add_column(b"%d\n\n" % len(values) + lines, "x", values)
    np.testing.assert_array_equal(atom_column(frame, "x")[:, 0], values)


def test_ase_reads_an_annotated_frame(tmp_path):
    import ase.io

    frame = make_frame(b'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"')
    frame = add_column(annotate(frame, {"prcli_pr": 1 / 3, "tag": "a b"}), "lpr", [0.1, 0.7])
    path = tmp_path / "f.xyz"
    path.write_bytes(frame)
    atoms = ase.io.read(path)
    assert atoms.info == {"prcli_pr": 1 / 3, "tag": "a b"}
    assert atoms.arrays["lpr"].tolist() == [0.1, 0.7]


def test_lines_with_other_columns_than_declared_are_refused():
    frame = b"2\n\nC 0 0 0\nC 1 1 1 9\n"
    with pytest.raises(FormatError, match=r"other columns than declared\n  where: +f, atom 1\n"):
        add_column(frame, "lpr", [1.0, 2.0], where="f")


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], [[1.0], [2.0]]])
def test_number_of_values_is_checked(values):
    with pytest.raises(MismatchError, match=r"expected: shape \(2,\)"):
        add_column(make_frame(b""), "lpr", values)


def test_existing_column_is_refused():
    with pytest.raises(FormatError, match="column 'pos' is there already"):
        add_column(make_frame(b""), "pos", [1.0, 2.0])


def test_overwriting_a_column_replaces_its_numbers_alone():
    line = b"Properties=species:S:1:lpr:R:1:pos:R:2"
    assert add_column(make_frame(line), "lpr", [7.5, 8.5], overwrite=True) == make_frame(
        line
    ).replace(b"C 0 0", b"C 7.5 0").replace(b"Si 1", b"Si 8.5")


def test_column_of_another_kind_is_not_overwritten():
    with pytest.raises(FormatError, match=r"expected: pos:R:1\n  got: +pos:R:3"):
        add_column(make_frame(b""), "pos", [1.0, 2.0], overwrite=True)
