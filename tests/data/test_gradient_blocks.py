from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from builders import counts_of, features_of, gradients_of, write_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.data.gradient_blocks import gradient_blocks, structure_gradients
from prcli.data.gradients import FORCE, STRESS
from prcli.data.store import open_store

N_STRUCTURES = 7
COUNTS = counts_of(N_STRUCTURES)
#: Structures with both kinds, with one of them and with none.
GIVEN = gradients_of(COUNTS, 3, forces=[0, 2, 3, 6], stresses=[0, 3, 5])
SLICES = [range(7), range(6, -1, -1), range(1, 7, 3), range(5, 0, -2), range(4, 5), range(0, 8, 4)]


def whole(table: Any) -> Part:
    return Part(table, range(table.n_structures))


def features(**changes: Any) -> Features:
    return features_of(N_STRUCTURES, **(GIVEN | changes))


def rewritten(path: Path, **options: Any) -> Path:
    """Write the gradients of a store again with another layout."""
    with h5py.File(path, "a") as file:
        group = file["gradients"]
        for name in ("rows", "kind", "structure"):
            values = group[name][...]
            del group[name]
            group.create_dataset(name, data=values, chunks=True, **options)
    return path


def expected_of(data: Dataset) -> list[tuple[int, int, int, np.ndarray]]:
    """Structure, place, kind and row of each gradient row of `GIVEN`, one by one."""
    kinds, structures = GIVEN["gradient_kind"].tolist(), GIVEN["gradient_structure"].tolist()
    found, at = [], 0
    for part in data.parts:
        for position in part.positions:
            places = {FORCE: 0, STRESS: 0}
            for i, kind in enumerate(kinds):
                if part.table.gradients is not None and structures[i] == position:
                    found.append((at, places[kind], kind, GIVEN["gradients"][i]))
                    places[kind] += 1
            at += 1
    return found


def check(data: Dataset, max_rows: int) -> None:
    """Compare blocks with `expected_of`, and see that structures stay whole."""
    blocks = list(gradient_blocks(data, max_rows))
    expected = expected_of(data)
    names = ("structure", "place", "kind")
    for i, name in enumerate(names):
        found = np.concatenate([getattr(block, name) for block in blocks] or [[]])
        assert found.tolist() == [row[i] for row in expected]
    rows = np.concatenate([block.rows for block in blocks] or [np.empty((0, 3))])
    np.testing.assert_array_equal(rows, np.array([row[3] for row in expected]).reshape(-1, 3))
    for block in blocks:
        assert 1 <= len(block.rows) <= max_rows or len(set(block.structure)) == 1
        assert block.structure.dtype == block.place.dtype == np.int64
        assert block.kind.dtype == np.uint8
    for one, other in zip(blocks[:-1], blocks[1:], strict=True):
        assert one.structure[-1] != other.structure[0]


@pytest.mark.parametrize("layout", ["memory", "mapped", "compressed"])
@pytest.mark.parametrize("positions", SLICES, ids=str)
@pytest.mark.parametrize("max_rows", [1, 10, 30, 1000])
def test_blocks_cover_every_slice(
    tmp_path: Path, layout: str, positions: range, max_rows: int
) -> None:
    path = tmp_path / "s.h5"
    if layout != "memory":
        write_store(path, N_STRUCTURES, gradients=GIVEN)
    if layout == "compressed":
        rewritten(path, compression="gzip")
    table = features() if layout == "memory" else open_store(path)
    with Dataset([whole(table), Part(table, positions)], "x") as data:
        check(data, max_rows)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    starts=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 3), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    max_rows=st.integers(1, 60),
)
def test_blocks_of_any_slices(starts: list[tuple[int, int, int, bool]], max_rows: int) -> None:
    with_rows, without = features(), features_of(N_STRUCTURES)
    parts = []
    for one, other, step, has_rows in starts:
        low, high = min(one, other), max(one, other)
        ascending = one <= other
        positions = range(low, high + 1, step) if ascending else range(high, low - 1, -step)
        parts.append(Part(with_rows if has_rows else without, positions))
    check(Dataset(parts, "x"), max_rows)


def test_rows_in_order_are_views() -> None:
    rows = GIVEN["gradients"]
    (block,) = gradient_blocks(Dataset([whole(features(gradients=rows))], "x"), 1000)
    assert np.shares_memory(block.rows, rows)
    assert not block.rows.flags.writeable


def test_float32_rows_stay_what_they_are() -> None:
    table = features(gradients=GIVEN["gradients"].astype(np.float32))
    assert {b.rows.dtype.name for b in gradient_blocks(Dataset([whole(table)], "x"), 9)} == {
        "float32"
    }


def test_sets_without_gradients_give_no_blocks() -> None:
    assert list(gradient_blocks(Dataset([whole(features_of(3))], "x"), 10)) == []


def test_empty_gradients_give_no_blocks() -> None:
    none = gradients_of(COUNTS, 3, forces=[], stresses=[])
    assert list(gradient_blocks(Dataset([whole(features(**none))], "x"), 10)) == []


@pytest.mark.parametrize("positions", SLICES, ids=str)
def test_rows_of_one_structure(positions: range) -> None:
    data = Dataset([whole(features_of(N_STRUCTURES)), Part(features(), positions)], "x")
    expected = expected_of(data)
    for i in range(data.n_structures):
        kind, rows = structure_gradients(data, i)
        own = [row for row in expected if row[0] == i]
        assert kind.tolist() == [row[2] for row in own]
        np.testing.assert_array_equal(rows, np.array([row[3] for row in own]).reshape(-1, 3))
        assert rows.shape[1] == 3


def test_set_counts_rows_of_its_structures() -> None:
    without = features_of(2)
    data = Dataset([Part(features(), range(5, 0, -2)), whole(without)], "x")
    assert data.gradient_counts("force").tolist() == [0, 3 * COUNTS[3], 0, 0, 0]
    assert data.gradient_counts("stress").tolist() == [6, 6, 0, 0, 0]
    for kind in ("force", "stress"):
        counts = data.original_gradient_counts(kind)
        assert counts.tolist() == data.gradient_counts(kind).tolist()
        assert counts.dtype == np.int64


def test_set_counts_rows_before_reduction() -> None:
    reduced = features(**gradients_of(COUNTS, 3, stresses=[1], reduced=True))
    data = Dataset([whole(features_of(1)), Part(reduced, range(1, 3))], "x")
    assert data.gradient_counts("force").tolist() == [0, 3, 3]
    assert data.original_gradient_counts("force").tolist() == [0, *(3 * COUNTS[1:3])]
    assert data.gradient_counts("stress").tolist() == [0, 3, 0]
    assert data.original_gradient_counts("stress").tolist() == [0, 6, 0]


@pytest.mark.parametrize(
    ("position", "forces", "stresses"),
    [(0, True, True), (2, True, False), (5, False, True), (1, False, False)],
)
def test_set_has_gradients_if_its_structures_do(
    position: int, forces: bool, stresses: bool
) -> None:
    data = Dataset([Part(features(), range(position, position + 1))], "x")
    assert data.has_gradients("force") == forces
    assert data.has_gradients("stress") == stresses


def test_set_is_reduced_if_a_part_is() -> None:
    reduced = features(**gradients_of(COUNTS, 3, reduced=True))
    assert not Dataset([whole(features()), whole(features_of(1))], "x").gradients_reduced
    assert Dataset([whole(features_of(1)), whole(reduced)], "x").gradients_reduced


def test_types_include_those_of_gradients() -> None:
    table = features(gradients=GIVEN["gradients"].astype(np.float32))
    assert Dataset([whole(table)], "x").dtypes == ("float32", "float64")
