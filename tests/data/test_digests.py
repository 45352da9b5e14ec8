from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prcli.data import digests
from prcli.data.checks import atom_offsets
from prcli.data.digests import (
    atom_digests,
    content_digest_of,
    digests_of,
    row_digests,
    structure_runs,
)
from prcli.data.features import Features
from prcli.records import Block


def expected(n_atoms: int, row: list[float]) -> int:
    packed = struct.pack(f"<q{len(row)}d", n_atoms, *row)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little")


def test_row_digest_is_blake2b_of_count_and_row() -> None:
    rows = np.array([[1.5, -2.0], [0.0, 3.0]])
    result = row_digests(np.array([3, 7]), rows)
    assert result.dtype == np.uint64
    assert result.tolist() == [expected(3, [1.5, -2.0]), expected(7, [0.0, 3.0])]


def test_zero_has_no_sign() -> None:
    n_atoms = np.array([1])
    assert row_digests(n_atoms, np.array([[-0.0]])) == row_digests(n_atoms, np.array([[0.0]]))


@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f8"])
def test_digest_does_not_depend_on_the_type_on_disk(dtype: str) -> None:
    rows = np.array([[0.5, 0.1]], dtype=dtype)
    n_atoms = np.array([2], dtype=np.int32)
    assert row_digests(n_atoms, rows) == row_digests(n_atoms, rows.astype(np.float64))


def test_digest_of_strided_rows() -> None:
    rows = np.arange(24.0).reshape(6, 4)
    n_atoms = np.arange(1, 7)
    strided = row_digests(n_atoms[::2], rows[::2, ::-1])
    assert strided.tolist() == row_digests(n_atoms[::2], rows[::2, ::-1].copy()).tolist()


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3))
    n_atoms = np.arange(1, 21)
    whole = row_digests(n_atoms, rows)
    monkeypatch.setattr(digests, "_BLOCK_BYTES", 100)
    assert row_digests(n_atoms, rows).tolist() == whole.tolist()


def test_atom_digest_is_blake2b_of_count_and_rows() -> None:
    rows = np.array([[1.0], [-0.0], [3.0]], dtype=np.float32)
    result = atom_digests(np.array([1, 2]), rows)
    assert result.tolist() == [expected(1, [1.0]), expected(2, [0.0, 3.0])]


def test_no_structures_no_digests() -> None:
    assert row_digests(np.empty(0, int), np.empty((0, 3))).shape == (0,)
    assert atom_digests(np.empty(0, int), np.empty((0, 3))).shape == (0,)


def test_long_structures_are_hashed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = np.random.default_rng(0).normal(size=(30, 2))
    n_atoms = np.array([2, 25, 3])
    monkeypatch.setattr(digests, "_BLOCK_BYTES", 4 * 16)
    table = Features(atoms=atoms, n_atoms=n_atoms)
    assert digests_of(table).tolist() == atom_digests(n_atoms, atoms).tolist()


def test_digests_are_of_structures_where_there_are_any() -> None:
    rows = np.eye(2)
    table = Features(rows, np.eye(2), [1, 1])
    assert digests_of(table).tolist() == row_digests(np.array([1, 1]), rows).tolist()


def table(**changes: object) -> Features:
    parts: dict[str, object] = {
        "structures": np.eye(2),
        "atoms": np.ones((3, 2)),
        "n_atoms": [1, 2],
        "species": [1, 6, 8],
        "blocks": (Block("a", 1), Block("b", 1)),
        "columns": {"energy": [1.0, 2.0], "name": ["x", "y"]},
    }
    return Features(**(parts | changes))  # type: ignore[arg-type]


def test_content_digest_ignores_the_label() -> None:
    assert content_digest_of(table(label="other")) == content_digest_of(table())
    assert content_digest_of(table()).startswith("blake2b-rows:")


@pytest.mark.parametrize(
    "change",
    [
        {"structures": np.eye(2) * 2},
        {"structures": np.eye(2, dtype=np.float32)},
        {"structures": None},
        {"atoms": np.zeros((3, 2))},
        {"n_atoms": [2, 1]},
        {"species": [1, 6, 7]},
        {"species": None},
        {"convention": "sum"},
        {"blocks": (Block("a", 1), Block("c", 1))},
        {"blocks": None},
        {"columns": {"energy": [1.0, 2.5], "name": ["x", "y"]}},
        {"columns": {"energy": [1.0, 2.0], "name": ["x", "z"]}},
        {"columns": {"weight": [1.0, 2.0], "name": ["x", "y"]}},
    ],
)
def test_content_digest_covers(change: dict[str, object]) -> None:
    assert content_digest_of(table(**change)) != content_digest_of(table())


@given(st.lists(st.integers(1, 20), min_size=1), st.integers(1, 30))
def test_runs_cover_all_structures(n_atoms: list[int], max_atoms: int) -> None:
    offsets = atom_offsets(np.array(n_atoms))
    runs = list(structure_runs(offsets, max_atoms))
    assert [i for start, stop in runs for i in range(start, stop)] == list(range(len(n_atoms)))
    for start, stop in runs:
        assert stop - start == 1 or sum(n_atoms[start:stop]) <= max_atoms
