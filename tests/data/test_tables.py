from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prcli.data.tables import TableFormat, read_table, write_table
from prcli.errors import FormatError, InputFileError


def written(table_format: TableFormat, **columns: object) -> str:
    stream = io.StringIO()
    write_table(stream, table_format, list(columns), [columns])  # type: ignore[list-item]
    return stream.getvalue()


def test_tsv_spells_numbers_at_shortest_round_trip() -> None:
    text = written(
        "tsv",
        index=np.array([0, 10**12]),
        pr=np.array([0.1, np.inf]),
        sigma=np.array([np.nan, -1e-300]),
    )
    assert text == "index\tpr\tsigma\n0\t0.1\tnan\n1000000000000\tinf\t-1e-300\n"


def test_tsv_escapes_what_would_break_a_line() -> None:
    assert written("tsv", source=np.array(["a\tb", "c\nd\r\\"])) == (
        "source\na\\tb\nc\\nd\\r\\\\\n"
    )


def test_csv_quotes_by_the_usual_rules() -> None:
    text = written("csv", source=np.array(['a,"b"', "c\nd"]), pr=np.array([np.inf, 2.0]))
    assert text == 'source,pr\n"a,""b""",inf\n"c\nd",2.0\n'
    assert list(csv.reader(io.StringIO(text)))[1] == ['a,"b"', "inf"]


def test_jsonl_holds_an_object_per_row() -> None:
    text = written("jsonl", source=np.array(["ü\n", "%s"]), pr=np.array([-np.inf, 0.5]))
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows == [{"source": "ü\n", "pr": "-inf"}, {"source": "%s", "pr": 0.5}]


def test_jsonl_spells_nan_as_string() -> None:
    assert written("jsonl", pr=np.array([np.nan])) == '{"pr": "nan"}\n'


def test_jsonl_column_names_may_hold_percent() -> None:
    assert json.loads(written("jsonl", **{"50%": np.array([1])})) == {"50%": 1}


@pytest.mark.parametrize(
    ("table_format", "expected"),
    [
        ("tsv", "x\ty\n1\ttrue\n\tfalse\ninf\ttrue\na\tfalse\n"),
        ("csv", "x,y\n1,true\n,false\ninf,true\na,false\n"),
    ],
)
def test_mixed_values_and_booleans(table_format: TableFormat, expected: str) -> None:
    mixed = [1, None, math.inf, "a"]
    assert written(table_format, x=mixed, y=np.array([True, False, True, False])) == expected


def test_jsonl_mixed_values() -> None:
    text = written("jsonl", x=[1, None, math.inf, "a", True, 0.5])
    values = [json.loads(line)["x"] for line in text.splitlines()]
    assert values == [1, None, "inf", "a", True, 0.5]


@pytest.mark.parametrize(("table_format", "header"), [("tsv", "a\tb\n"), ("csv", "a,b\n")])
def test_header_without_rows(table_format: TableFormat, header: str) -> None:
    stream = io.StringIO()
    write_table(stream, table_format, ["a", "b"], [])
    assert stream.getvalue() == header


def test_batches_follow_each_other_in_the_order_of_the_columns() -> None:
    stream = io.StringIO()
    batches = [{"b": np.array([1]), "a": np.array([2])}, {"a": np.array([3]), "b": np.array([4])}]
    write_table(stream, "tsv", ["a", "b"], batches)
    assert stream.getvalue() == "a\tb\n2\t1\n3\t4\n"


def test_empty_batch_writes_nothing() -> None:
    assert written("tsv", a=np.array([], dtype=float)) == "a\n"


def test_batches_larger_than_a_chunk() -> None:
    text = written("tsv", a=np.arange(40_000))
    assert text.split() == ["a", *map(str, range(40_000))]


def test_wrong_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="batch has columns"):
        write_table(io.StringIO(), "tsv", ["a"], [{"b": [1]}])


def test_ragged_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        written("tsv", a=[1], b=[1, 2])


def test_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown table format"):
        written("xml", a=[1])  # type: ignore[arg-type]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.text(st.characters(codec="utf-8")), st.floats(allow_nan=False), st.integers()),
        min_size=1,
    )
)
def test_tsv_round_trip(tmp_path: Path, rows: list[tuple[str, float, int]]) -> None:
    names, values, numbers = (list(column) for column in zip(*rows, strict=True))
    path = tmp_path / "table.tsv"
    with open(path, "w", encoding="utf-8", newline="") as stream:
        batch = {"name\t": names, "value": np.array(values), "number": numbers}
        write_table(stream, "tsv", list(batch), [batch])
    table = read_table(path)
    assert table["name\t"] == names
    assert [float(text) for text in table["value"]] == values
    assert [int(text) for text in table["number"]] == numbers


def test_reading_a_ragged_table(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("a\tb\n1\t2\n3\n")
    with pytest.raises(FormatError, match="line 3[\\s\\S]*2 fields"):
        read_table(tmp_path / "t.tsv")


@pytest.mark.parametrize(("text", "message"), [("", "is empty"), ("a\ta\n", "same name")])
def test_reading_no_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_table(tmp_path / "t.tsv")


def test_reading_binary(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not UTF-8"):
        read_table(tmp_path / "t.tsv")


def test_reading_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No such file"):
        read_table(tmp_path / "t.tsv")
