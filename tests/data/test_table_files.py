"""Columns of arrays in tables: pickles of several versions, parquet and csv."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import lzma
import pickle
from pathlib import Path

import numpy as np
import pytest

from prcli.data.pickled_table import read_pickled_table
from prcli.data.table_files import read_cells, table_kind
from prcli.errors import FeatureError, FormatError, InputFileError, RequestError

FILES = Path(__file__).parents[1] / "workflows" / "import_files"
ROWS = [np.arange(6.0).reshape(2, 3), np.arange(3.0).reshape(1, 3) + 10]


class Trap:
    """Calls a function when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of the pickle ran')",)


def save(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def assert_rows(found: list[np.ndarray | None], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("version", ["1.5", "2.2", "3.1"])
class TestPandasPickles:
    def test_column_of_arrays(self, version: str) -> None:
        path = FILES / f"pandas_{version}.pkl"
        assert table_kind(path) == "pickle"
        cells = read_cells(path, "features", allow_pickle=True)
        assert_rows(cells.rows, ROWS)
        assert cells.notes == ()
        assert cells.where == f"{path}, column 'features'"

    def test_columns_of_numbers_and_lists(self, version: str) -> None:
        path = FILES / f"pandas_{version}.pkl"
        assert_rows(read_cells(path, "energy", allow_pickle=True).rows, [[1.5], [2.5]])
        assert_rows(read_cells(path, "n", allow_pickle=True).rows, [[2], [1]])
        expected = [[1.5, 2.5, 3.5], [10.0, 11.0, 12.0]]
        assert_rows(read_cells(path, "mean", allow_pickle=True).rows, expected)

    def test_column_of_another_type(self, version: str) -> None:
        with pytest.raises(FeatureError, match="'name' is of a type that is not read"):
            read_cells(FILES / f"pandas_{version}.pkl", "name", allow_pickle=True)

    def test_is_refused_unless_allowed(self, version: str) -> None:
        with pytest.raises(FormatError, match="pickled Python objects") as caught:
            read_cells(FILES / f"pandas_{version}.pkl", "features", allow_pickle=False)
        assert "--allow-pickle" in str(caught.value)

    def test_names_of_columns(self, version: str) -> None:
        table = read_pickled_table(FILES / f"pandas_{version}.pkl")
        assert list(table.columns) == ["name", "energy", "features", "n", "mean"]
        assert table.row_labels is not None
        assert table.row_labels.tolist() == [0, 1]


class TestOtherPickles:
    @pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
    def test_list_of_arrays(self, tmp_path: Path, pack) -> None:
        path = tmp_path / "a.pkl"
        path.write_bytes(pack(pickle.dumps(ROWS)))
        assert table_kind(path) == "pickle"
        assert_rows(read_cells(path, None, allow_pickle=True).rows, ROWS)

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_every_protocol(self, tmp_path: Path, protocol: int) -> None:
        path = tmp_path / "a.pkl"
        path.write_bytes(pickle.dumps({"x": ROWS, "y": [1, 2]}, protocol=protocol))
        assert_rows(read_cells(path, "x", allow_pickle=True).rows, ROWS)

    def test_array(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.pkl", ROWS[0])
        assert_rows(read_cells(path, None, allow_pickle=True).rows, list(ROWS[0]))

    def test_empty_cells(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.pkl", [ROWS[0], None, float("nan")])
        found = read_cells(path, None, allow_pickle=True).rows
        assert found[1:] == [None, None]

    def test_nothing_that_is_named_is_called(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.pkl", {"x": ROWS, "trap": [Trap()]})
        assert_rows(read_cells(path, "x", allow_pickle=True).rows, ROWS)
        with pytest.raises(FeatureError, match="no array of numbers"):
            read_cells(path, "trap", allow_pickle=True)

    @pytest.mark.parametrize("content", [1.5, "text", Trap()])
    def test_what_is_no_table(self, tmp_path: Path, content: object) -> None:
        with pytest.raises(FormatError, match="no table that is known"):
            read_cells(save(tmp_path / "a.pkl", content), None, allow_pickle=True)

    def test_truncated(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pkl"
        path.write_bytes(pickle.dumps(ROWS)[:-20])
        with pytest.raises(InputFileError, match="pickled objects cannot be read"):
            read_cells(path, None, allow_pickle=True)

    def test_truncated_compression(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pkl.gz"
        path.write_bytes(gzip.compress(pickle.dumps([np.random.default_rng(0).random(500)]))[:-50])
        with pytest.raises(InputFileError, match="Compressed file ended"):
            read_cells(path, None, allow_pickle=True)

    def test_columns_are_listed(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.pkl", {"x": ROWS, "y": ROWS})
        with pytest.raises(FeatureError, match="several columns") as caught:
            read_cells(path, None, allow_pickle=True)
        assert caught.value.got == "x, y"
        assert "--array" in str(caught.value)
        with pytest.raises(FeatureError, match="'z' is absent"):
            read_cells(path, "z", allow_pickle=True)

    @pytest.mark.parametrize("cell", ["text", [[1.0], [1.0, 2.0]], np.ones((2, 2, 2)), [1j]])
    def test_cells_that_are_no_rows(self, tmp_path: Path, cell: object) -> None:
        path = save(tmp_path / "a.pkl", {"x": [ROWS[0], cell]})
        with pytest.raises(FeatureError, match="cell is no") as caught:
            read_cells(path, "x", allow_pickle=True)
        assert "row 1" in str(caught.value)

    def test_table_without_rows(self, tmp_path: Path) -> None:
        with pytest.raises(FeatureError, match="no rows"):
            read_cells(save(tmp_path / "a.pkl", []), None, allow_pickle=True)


class TestPandas:
    def test_row_labels_out_of_order_are_reported(self, tmp_path: Path) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"features": ROWS}, index=[4, 2])
        frame.to_pickle(tmp_path / "a.pkl")
        cells = read_cells(tmp_path / "a.pkl", "features", allow_pickle=True)
        assert_rows(cells.rows, ROWS)
        (note,) = cells.notes
        assert "not numbered 0, 1, 2, …: they are taken in the order of the file" in note

    def test_series(self, tmp_path: Path) -> None:
        pandas = pytest.importorskip("pandas")
        pandas.Series(ROWS, name="features").to_pickle(tmp_path / "a.pkl")
        assert_rows(read_cells(tmp_path / "a.pkl", None, allow_pickle=True).rows, ROWS)

    def test_parquet(self, tmp_path: Path) -> None:
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        rows = [row.tolist() for row in ROWS]
        frame = pandas.DataFrame({"f": rows, "v": [row[0] for row in rows], "x": [1.5, 2.5]})
        frame.to_parquet(tmp_path / "a")
        assert table_kind(tmp_path / "a") == "parquet"
        assert_rows(read_cells(tmp_path / "a", "f", allow_pickle=False).rows, ROWS)
        assert_rows(
            read_cells(tmp_path / "a", "v", allow_pickle=False).rows, [ROWS[0][0], ROWS[1][0]]
        )
        with pytest.raises(FeatureError, match="'g' is absent") as caught:
            read_cells(tmp_path / "a", "g", allow_pickle=False)
        assert caught.value.got == "f, v, x"

    @pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.tsv", "\t"), ("a.csv.gz", ",")])
    def test_text(self, tmp_path: Path, name: str, mark: str) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"f0": [0.1, 0.2], "x": ["[1, 2]", "[3, 4]"], "f1": [0.3, 1e-9]})
        frame.to_csv(tmp_path / name, sep=mark, index=False)
        assert table_kind(tmp_path / name) == "text"
        found = read_cells(tmp_path / name, "f*", allow_pickle=False)
        assert_rows(found.rows, [[0.1, 0.3], [0.2, 1e-9]])
        assert_rows(read_cells(tmp_path / name, "x", allow_pickle=False).rows, [[1, 2], [3, 4]])

    def test_arrays_in_text_have_lost_digits(self, tmp_path: Path) -> None:
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame({"f": ROWS}).to_csv(tmp_path / "a.csv", index=False)
        with pytest.raises(FeatureError, match="no list of numbers") as caught:
            read_cells(tmp_path / "a.csv", "f", allow_pickle=False)
        assert "lost digits" in str(caught.value)

    def test_columns_of_text_are_no_numbers(self, tmp_path: Path) -> None:
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame({"f0": [1.0], "f1": ["a"]}).to_csv(tmp_path / "a.csv", index=False)
        with pytest.raises(FeatureError, match="does not hold numbers"):
            read_cells(tmp_path / "a.csv", "f*", allow_pickle=False)

    def test_damaged_table(self, tmp_path: Path) -> None:
        pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        (tmp_path / "a").write_bytes(b"PAR1" + bytes(50))
        with pytest.raises(FormatError, match="table cannot be read"):
            read_cells(tmp_path / "a", None, allow_pickle=False)

    @pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
    def test_says_what_to_install(self, tmp_path: Path, name: str, monkeypatch) -> None:
        (tmp_path / name).write_bytes(b"PAR1" if name.endswith("parquet") else b"a,b\n1,2\n")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(RequestError, match="pandas is needed") as caught:
            read_cells(tmp_path / name, None, allow_pickle=False)
        assert "pip install pandas" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01", b"PK\x03\x04", b"\x80\x01", b"a b\n"])
def test_other_files_are_no_tables(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(content)
    assert table_kind(path) is None
    assert table_kind(tmp_path) is None
