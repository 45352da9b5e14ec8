from __future__ import annotations

import ase.io
import numpy as np
import pytest

from prcli.data.annotation import add_column
from prcli.errors import FormatError, MismatchError

FRAME = b"2\r\nProperties=species:S:1:pos:R:3 a=1\r\nC  0 0 0\r\nSi 1 1\t1 \r\n"
VALUES = np.array([[0.1, 1 / 3, 1e-30], [np.inf, np.nan, -2.0]])


def test_columns_of_several_numbers_follow_the_others():
    assert add_column(FRAME, "f", VALUES) == (
        b"2\r\nProperties=species:S:1:pos:R:3:f:R:3 a=1\r\n"
        b"C  0 0 0 0.1 0.3333333333333333 1e-30\r\nSi 1 1\t1  inf nan -2.0\r\n"
    )


def test_ase_reads_columns_of_several_numbers(tmp_path):
    path = tmp_path / "f.xyz"
    path.write_bytes(add_column(FRAME.replace(b"\r", b""), "f", VALUES))
    np.testing.assert_array_equal(ase.io.read(path).arrays["f"], VALUES)


def test_overwriting_replaces_all_numbers_of_a_column():
    frame = b"1\nProperties=species:S:1:f:R:3:pos:R:3\nC  1 2  3  0 0 0\n"
    expected = b"1\nProperties=species:S:1:f:R:3:pos:R:3\nC  7.0 8.0 9.0  0 0 0\n"
    assert add_column(frame, "f", [[7.0, 8.0, 9.0]], overwrite=True) == expected


def test_column_of_another_width_is_not_overwritten():
    frame = add_column(FRAME, "f", [1.0, 2.0])
    with pytest.raises(FormatError, match=r"expected: f:R:3\n  got: +f:R:1"):
        add_column(frame, "f", VALUES, overwrite=True)


@pytest.mark.parametrize("values", [VALUES[:1], VALUES[np.newaxis]])
def test_every_atom_needs_a_row_of_values(values):
    with pytest.raises(MismatchError, match=r"got: +shape"):
        add_column(FRAME, "f", values)
