from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.data.comment_line import parse_comment
from prcli.data.comment_text import can_be_key, pair_text

WORDS = ("T", "F", "true", "007", "1.5", "1e5", "nan", "-inf", "1_0", "bulk", "_JSON", "a=b")
TEXTS = st.one_of(
    st.text(max_size=12),
    st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
    st.lists(st.sampled_from(WORDS), max_size=3).map(",".join),
)
KEYS = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=8).filter(
    lambda key: can_be_key(key) and key.lower() != "uid" and key not in ("virial", "stress")
)
FLOATS = st.floats(allow_nan=False, width=64)
NUMBERS = st.one_of(st.booleans(), st.integers(-(2**70), 2**70), FLOATS)
#: Lists that hold all their numbers exactly as an array of floats.
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), FLOATS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)


def by_ase(line: str) -> dict[str, object]:
    from ase.io.extxyz import key_val_str_to_dict

    found: dict[str, object] = key_val_str_to_dict(line)
    return found


def by_prcli(line: str) -> dict[str, object]:
    return parse_comment(line.encode())


READERS = pytest.mark.parametrize("read", [by_ase, by_prcli])


@READERS
@settings(deadline=None)
@given(key=KEYS, text=TEXTS)
def test_text_reads_back(read, key, text):
    line = pair_text(key, text)
    assert line is not None
    assert "\n" not in line
    found = read(line)
    assert found == {key: text}
    assert isinstance(found[key], str)


@READERS
@settings(deadline=None)
@given(value=NUMBERS)
def test_numbers_and_truth_values_read_back(read, value):
    found = read(f"{pair_text('key', value)} last=1")["key"]
    assert found == value
    assert isinstance(found, bool | np.bool_) == isinstance(value, bool)
    assert isinstance(found, float | np.floating) == isinstance(value, float)


@READERS
@settings(deadline=None)
@given(value=JSON.filter(lambda value: isinstance(value, list | dict)))
def test_nested_values_read_back(read, value):
    found = read(str(pair_text("key", value)))["key"]
    if isinstance(found, np.ndarray):
        found = found.tolist()
    assert (json.loads(found) if isinstance(found, str) else found) == value


@READERS
def test_lists_of_lists_of_different_lengths_are_texts(read):
    assert read(str(pair_text("key", [[1, 2], [3]]))) == {"key": "[[1, 2], [3]]"}


@READERS
@pytest.mark.parametrize(
    "value",
    [
        np.array([1.0, 1 / 3, -1e-300]),
        np.array([math.inf, math.nan, -0.0]),
        np.array([3, -2]),
        np.array([True, False]),
        np.array([5]),
        np.array([2.5]),
        np.array([[1 / 3, math.nan], [2.0, 3.0]]),
        np.arange(8).reshape(2, 2, 2),
        np.zeros(0),
        np.array([0.1, 0.2], dtype=np.float32),
        np.array([2**63 + 1, 1], dtype=np.uint64),
    ],
)
def test_arrays_read_back(read, value):
    found = np.asarray(read(str(pair_text("key", value)))["key"])
    assert found.shape == value.shape
    assert np.array_equal(found, value, equal_nan=value.dtype.kind == "f")


@pytest.mark.parametrize("value", [np.float64(1 / 3), np.array(1 / 3), np.float64(1 / 3).item()])
def test_scalars_of_numpy_are_numbers(value):
    assert pair_text("key", value) == f"key={1 / 3!r}"


def test_signed_zero_and_infinity_keep_their_sign():
    assert pair_text("a", -0.0) == "a=-0.0"
    assert pair_text("a", -math.inf) == "a=-inf"


@pytest.mark.parametrize("key", ["stress", "virial"])
@READERS
def test_stress_of_six_numbers_is_a_symmetric_matrix(read, key):
    found = read(str(pair_text(key, np.arange(6) / 3)))[key]
    xx, yy, zz, yz, xz, xy = np.arange(6) / 3
    assert np.array_equal(found, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


@READERS
def test_stress_that_is_not_symmetric_reads_back(read):
    matrix = np.arange(9.0).reshape(3, 3) / 7
    assert np.array_equal(read(str(pair_text("stress", matrix)))["stress"], matrix)


@pytest.mark.parametrize("value", [1.0, "high", np.zeros(5), [[1, 2], [3]], None])
def test_what_is_no_matrix_is_refused_where_readers_want_one(value):
    assert pair_text("stress", value) is None
    assert pair_text("pressure", value) is not None


@pytest.mark.parametrize("value", [object(), 1j, np.array([1j]), {(1, 2): 3}, b"bytes"])
def test_what_no_text_holds_is_refused(value):
    assert pair_text("key", value) is None


def test_uid_stays_as_it_is():
    assert pair_text("uid", "007") == "uid=007"
    assert by_ase("uid=007") == {"uid": "007"}
