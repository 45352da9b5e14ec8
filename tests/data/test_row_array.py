from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prcli.data import row_array
from prcli.data.row_array import ArrayRows, DatasetRows, RowArray, map_file, mapped_array
from prcli.errors import InputFileError

ROWS = np.arange(33.0).reshape(11, 3)


@pytest.fixture(params=["memory", "big-endian memory", "chunked", "big-endian gzip", "unaligned"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RowArray]:
    if request.param == "memory":
        yield ArrayRows(ROWS)
    elif request.param == "big-endian memory":
        yield ArrayRows(ROWS.astype(">f8"))
    elif request.param == "unaligned":
        raw = b"\0" + ROWS.tobytes()
        yield ArrayRows(np.ndarray(ROWS.shape, float, raw, offset=1))
    else:
        big = request.param.startswith("big")
        with h5py.File(tmp_path / "rows.h5", "w") as file:
            dataset = file.create_dataset(
                "x",
                data=ROWS.astype(">f8" if big else "<f8"),
                chunks=(4, 2),
                compression="gzip" if big else None,
            )
            yield DatasetRows(dataset, "rows.h5")


def test_blocks_are_native_and_aligned(rows: RowArray) -> None:
    block = rows.read(2, 9, 3)
    assert rows.shape == (11, 3)
    assert rows.dtype == block.dtype == np.dtype("=f8")
    assert block.flags.aligned
    np.testing.assert_array_equal(block, ROWS[2:9:3])


def test_empty_block(rows: RowArray) -> None:
    assert rows.read(11, 11).shape == (0, 3)


def test_rows_are_taken_in_order_with_repetitions(rows: RowArray) -> None:
    indices = np.array([10, 0, 3, 3, 9])
    taken = rows.take(indices)
    np.testing.assert_array_equal(taken, ROWS[indices])
    assert taken.dtype == np.dtype("=f8")


def test_taking_nothing(rows: RowArray) -> None:
    assert rows.take(np.array([], dtype=int)).shape == (0, 3)


@pytest.mark.parametrize("span", [(-1, 2, 1), (0, 12, 1), (3, 2, 1), (0, 2, 0), (0, 2, -1)])
def test_ranges_are_never_cut_silently(rows: RowArray, span: tuple[int, int, int]) -> None:
    with pytest.raises(IndexError, match="rows"):
        rows.read(*span)


@pytest.mark.parametrize("indices", [[11], [-1], [[1]]])
def test_positions_outside_are_refused(rows: RowArray, indices: list[int]) -> None:
    with pytest.raises(IndexError, match="row positions"):
        rows.take(np.array(indices))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(indices=st.lists(st.integers(0, 10)))
def test_taking_by_small_blocks(tmp_path: Path, indices: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_array, "_TAKE_BYTES", 1)
        with h5py.File(tmp_path / "rows.h5", "w") as file:
            chunked = DatasetRows(file.create_dataset("x", data=ROWS, chunks=(2, 3)), "rows.h5")
            np.testing.assert_array_equal(
                chunked.take(np.array(indices, int)), ROWS[np.array(indices, int)]
            )


def test_array_is_viewed_and_protected() -> None:
    array = ROWS.copy()
    block = ArrayRows(array).read(0, 4)
    assert np.shares_memory(block, array)
    assert not block.flags.writeable
    assert array.flags.writeable


def test_map_respects_a_user_block(tmp_path: Path) -> None:
    path = tmp_path / "rows.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = ROWS
    with h5py.File(path) as file:
        array = mapped_array(file["x"], map_file(path))
    assert array is not None
    np.testing.assert_array_equal(array, ROWS)


def test_external_and_unwritten_datasets_are_not_mapped(tmp_path: Path) -> None:
    path = tmp_path / "rows.h5"
    with h5py.File(path, "w") as file:
        external = [(str(tmp_path / "raw.bin"), 0, ROWS.nbytes)]
        file.create_dataset("external", ROWS.shape, "f8", external=external)[...] = ROWS
        file.create_dataset("unwritten", (3, 2), "f8")
        file.create_dataset("chunked", data=ROWS, chunks=(1, 3))
    with h5py.File(path) as file:
        mapped = map_file(path)
        assert all(mapped_array(dataset, mapped) is None for dataset in file.values())
        np.testing.assert_array_equal(DatasetRows(file["external"], path).read(0, 11), ROWS)


def test_missing_file_cannot_be_mapped(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be mapped"):
        map_file(tmp_path / "absent")
