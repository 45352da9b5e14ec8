"""Tables for machines: tab-separated, comma-separated or JSON lines, streamed in batches."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TextIO, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from prcli.errors import FormatError, InputFileError

TableFormat: TypeAlias = Literal["tsv", "csv", "jsonl"]

#: Rows turned into text at a time.
_ROWS_AT_A_TIME = 1 << 14

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_UNESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


def write_table(
    stream: TextIO,
    table_format: TableFormat,
    columns: Sequence[str],
    batches: Iterable[Mapping[str, ArrayLike]],
    *,
    header: bool = True,
) -> None:
    r"""Write a table as it arrives.

    Parameters
    ----------
    stream : text stream
        Where to write.
    table_format : {"tsv", "csv", "jsonl"}
        In tsv, backslash, tab and line ends within strings become ``\\``, ``\t``, ``\n`` and
        ``\r``; csv quotes by the usual rules; jsonl has an object per row, with "inf", "-inf"
        and "nan" as strings since JSON has no such numbers.
    columns : sequence of str
        Names in order.
    batches : iterable of mapping of str to (n,) array-like
        Some rows at a time, a value for every column and no other. Numbers are written at
        shortest round trip, integers plainly, booleans as ``true`` and ``false``, None as
        nothing (in jsonl ``null``).
    header : bool
        Whether tsv and csv begin with the names, even without rows.

    Raises
    ------
    ValueError
        If a batch has other columns, or columns of different lengths, or the format is not
        one of the three.
    """
    if table_format not in get_args(TableFormat):
        raise ValueError(f"unknown table format {table_format!r}")
    write_rows = {"tsv": _tsv_writer, "csv": _csv_writer, "jsonl": _jsonl_writer}[table_format](
        stream, columns, header
    )
    for batch in batches:
        arrays = _arrays(columns, batch)
        n_rows = len(arrays[0]) if arrays else 0
        for start in range(0, n_rows, _ROWS_AT_A_TIME):
            write_rows([array[start : start + _ROWS_AT_A_TIME] for array in arrays])


def read_table(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read a tsv table that `write_table` wrote.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    dict of str to list of str
        Columns in the order of the file; what a text means is for the caller to say.

    Raises
    ------
    InputFileError
        If the file cannot be read.
    FormatError
        If it is empty, repeats a name, or a row has another number of fields than the header.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
    except OSError as error:
        raise InputFileError(
            "file cannot be read", where=str(path), got=error.strerror or str(error)
        ) from error
    except UnicodeDecodeError as error:
        raise FormatError("table is not UTF-8 text", where=str(path), got=str(error)) from error
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise FormatError("table is empty", where=str(path), expected="a line of column names")
    names = [_unescape(field) for field in lines[0].split("\t")]
    if len(set(names)) < len(names):
        raise FormatError("two columns have the same name", where=f"{path}, line 1", got=lines[0])
    rows = [
        _split_row(line, len(names), f"{path}, line {i}") for i, line in enumerate(lines[1:], 2)
    ]
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}


def _arrays(columns: Sequence[str], batch: Mapping[str, ArrayLike]) -> list[np.ndarray]:
    """Order the columns of a batch."""
    if set(batch) != set(columns):
        raise ValueError(f"batch has columns {sorted(batch)}, not {sorted(columns)}")
    arrays = [_column(batch[name]) for name in columns]
    if any(array.ndim != 1 or len(array) != len(arrays[0]) for array in arrays):
        shapes = dict(zip(columns, (array.shape for array in arrays), strict=True))
        raise ValueError(f"columns of a batch must have one length: {shapes}")
    return arrays


def _column(values: ArrayLike) -> np.ndarray:
    """Take an array as it is, and a list without letting numpy unify the types in it."""
    if isinstance(values, list | tuple):
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    return np.asarray(values)


def _tsv_writer(
    stream: TextIO, columns: Sequence[str], header: bool
) -> Callable[[list[np.ndarray]], None]:
    """Write the header; return what writes rows."""
    if header:
        stream.write("\t".join(name.translate(_ESCAPES) for name in columns) + "\n")

    def write_rows(arrays: list[np.ndarray]) -> None:
        fields = [_texts(array, _escape) for array in arrays]
        stream.write("\n".join(map("\t".join, zip(*fields, strict=True))) + "\n")

    return write_rows


def _csv_writer(
    stream: TextIO, columns: Sequence[str], header: bool
) -> Callable[[list[np.ndarray]], None]:
    """Write the header; return what writes rows."""
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow(columns)

    def write_rows(arrays: list[np.ndarray]) -> None:
        writer.writerows(zip(*(_texts(array, str) for array in arrays), strict=True))

    return write_rows


def _jsonl_writer(
    stream: TextIO, columns: Sequence[str], header: bool
) -> Callable[[list[np.ndarray]], None]:
    """Return what writes rows, each of which names the columns."""
    names = [json.dumps(name, ensure_ascii=False).replace("%", "%%") for name in columns]
    template = "{" + ", ".join(f"{name}: %s" for name in names) + "}\n"

    def write_rows(arrays: list[np.ndarray]) -> None:
        fields = [_json_texts(array) for array in arrays]
        stream.write("".join(map(template.__mod__, zip(*fields, strict=True))))

    return write_rows


def _texts(array: np.ndarray, of_string: Callable[[str], str]) -> list[str]:
    """Write values as text."""
    kind = array.dtype.kind
    if kind == "f":
        return list(map(repr, array.astype(np.float64, copy=False).tolist()))
    if kind in "iu":
        return list(map(str, array.tolist()))
    if kind == "b":
        return ["true" if value else "false" for value in array.tolist()]
    values = array.tolist()
    if kind == "U":
        # Sources repeat over many rows.
        known = {value: of_string(value) for value in set(values)}
        return [known[value] for value in values]
    return [_text(value, of_string) for value in values]


def _text(value: Any, of_string: Callable[[str], str]) -> str:
    """Write one value as text."""
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return repr(float(value))
    return of_string(str(value))


def _json_texts(array: np.ndarray) -> list[str]:
    """Write values as JSON."""
    if array.dtype.kind == "f":
        texts = _texts(array, str)
        for i in np.flatnonzero(~np.isfinite(array)).tolist():
            texts[i] = f'"{texts[i]}"'
        return texts
    if array.dtype.kind == "O":
        return [_json_text(value) for value in array.tolist()]
    return _texts(array, _json_string)


def _json_text(value: Any) -> str:
    """Write one value as JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return _text(value, str)
    if isinstance(value, float | np.floating):
        return repr(float(value)) if math.isfinite(value) else f'"{float(value)!r}"'
    return _json_string(str(value))


def _json_string(text: str) -> str:
    """Quote a string for JSON, leaving letters beyond ASCII as they are."""
    return json.dumps(text, ensure_ascii=False)


def _escape(text: str) -> str:
    """Keep a string within one field of a tsv table."""
    return text.translate(_ESCAPES)


def _unescape(field: str) -> str:
    """Undo `_escape`; a backslash before another letter is left alone."""
    if "\\" not in field:
        return field
    parts: list[str] = []
    letters = iter(field)
    for letter in letters:
        if letter == "\\":
            following = next(letters, "")
            parts.append(_UNESCAPES.get(following, "\\" + following))
        else:
            parts.append(letter)
    return "".join(parts)


def _split_row(line: str, n_fields: int, where: str) -> list[str]:
    """Split a line into its fields."""
    fields = line.split("\t")
    if len(fields) != n_fields:
        raise FormatError(
            "row does not fit the header of the table",
            where=where,
            expected=f"{n_fields} fields",
            got=str(len(fields)),
        )
    return [_unescape(field) for field in fields]
