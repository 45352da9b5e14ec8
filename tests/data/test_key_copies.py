from __future__ import annotations

import pytest

from prcli.data.key_copies import copy_column, copy_key, has_column, has_key
from prcli.errors import FormatError

FRAME = (
    b'2\r\nProperties=species:S:1:pos:R:3:f:R:3 energy="-1.50" stress="1 2 3 4 5 6e0" flag\r\n'
    b"C  0 0 0.10  1.00 -2e-3 0\r\nH 1 1 1 4 5 6.50\r\n"
)


def test_key_is_given_once_more_in_the_same_digits():
    once = copy_key(copy_key(FRAME, "energy", "REF_energy"), "stress", "REF_stress")
    added = b' REF_energy="-1.50" REF_stress="1 2 3 4 5 6e0"\r\n'
    assert once == FRAME.replace(b"flag\r\n", b"flag" + added)


def test_the_last_of_repeated_keys_holds():
    frame = FRAME.replace(b"flag", b"energy=7.0")
    assert b" E=7.0\r\n" in copy_key(frame, "energy", "E")


def test_column_is_given_once_more_in_the_same_digits():
    copied = copy_column(FRAME, "f", "REF_forces")
    expected = FRAME.replace(b"f:R:3 ", b"f:R:3:REF_forces:R:3 ")
    expected = expected.replace(b"1.00 -2e-3 0\r", b"1.00 -2e-3 0 1.00 -2e-3 0\r")
    assert copied == expected.replace(b"4 5 6.50\r", b"4 5 6.50 4 5 6.50\r")


def test_integers_are_copied_as_real_numbers():
    copied = copy_column(FRAME.replace(b"f:R:3", b"f:I:3"), "f", "g")
    assert b"f:I:3:g:R:3 " in copied


def test_what_a_frame_has():
    assert has_key(FRAME, "energy")
    assert not has_key(FRAME, "flag")
    assert not has_key(FRAME, "other")
    assert has_column(FRAME, "f")
    assert not has_column(FRAME, "g")


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (FRAME.replace(b"f:R:3", b"f:S:3"), "numbers"),
        (FRAME.replace(b" 6.50", b""), "atom 1"),
    ],
)
def test_columns_that_cannot_be_copied(frame, said):
    with pytest.raises(FormatError, match=said) as caught:
        copy_column(frame, "f", "g", "file, frame 3")
    assert "frame 3" in str(caught.value)


def test_names_that_others_could_not_read_are_refused():
    with pytest.raises(FormatError, match="name"):
        copy_key(FRAME, "energy", "my energy")
