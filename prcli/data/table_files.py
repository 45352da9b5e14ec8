"""A column of arrays in a table: pickles, and parquet and csv files if pandas is there.

A cell holds the rows of one structure's atoms, (n, D), or one row, (D,).
"""

from __future__ import annotations

import fnmatch
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prcli.data.pickled_table import Column, PickledTable, read_pickled_table
from prcli.data.plain_pickle import DeadObject, refuse_pickle
from prcli.data.streams import open_stream, read_errors
from prcli.errors import FeatureError, FormatError, RequestError

_TEXT_SUFFIXES = {".csv": ",", ".tsv": "\t"}
_COMPRESSIONS = (".gz", ".bz2", ".xz")
_PICKLE_STARTS = tuple(bytes([0x80, version]) for version in range(2, 6))
_LISTED_AT_MOST = 20


@dataclass(frozen=True, eq=False)
class Cells:
    """A column of a table, row by row.

    Attributes
    ----------
    rows : list of array or None
        (n, D) or (D,) numbers; None where the cell is empty.
    where : str
        File and column, for messages.
    species : list of array, optional
        Atomic numbers by row, where the table holds the structures, too.
    notes : tuple of str
    """

    rows: list[NDArray[Any] | None]
    where: str
    species: list[NDArray[Any]] | None
    notes: tuple[str, ...]


def table_kind(path: Path) -> str | None:
    """Tell a table from its content, a text by its name: pickle, parquet or text, or None."""
    if not path.is_file():
        return None
    with open_stream(path) as stream, read_errors(path):
        head = stream.read(4)
    if head.startswith(_PICKLE_STARTS):
        return "pickle"
    if head == b"PAR1":
        return "parquet"
    return "text" if _separator(path) else None


def read_cells(path: Path, column: str | None, *, allow_pickle: bool) -> Cells:
    """Read a column of arrays.

    Parameters
    ----------
    path : Path
        A file of which `table_kind` knows the kind.
    column : str, optional
        Name of the column; with ``*``, columns of numbers that become one row. Not needed where
        the file has only one.
    allow_pickle : bool
        Whether a pickle may be read.

    Raises
    ------
    FormatError
        If pickles are not allowed, or the file cannot be understood.
    FeatureError
        If the column is absent, or its cells are no arrays of numbers.
    RequestError
        If pandas is needed and not there.
    InputFileError
        If the file is damaged.
    """
    kind = table_kind(path)
    if kind == "pickle":
        if not allow_pickle:
            raise refuse_pickle("a pickled table or list", str(path))
        table = read_pickled_table(path)
    else:
        table = _read_with_pandas(path, column, kind)
    name = _choose(table, column, path)
    where = str(path) if not name else f"{path}, column {name!r}"
    if "*" in name:
        rows = _side_by_side(table, name, where)
    else:
        cells = table.columns[name]
        rows = [_cell(cell, where, i) for i, cell in enumerate(() if cells is None else cells)]
    if not rows:
        raise FeatureError("table has no rows", where=where)
    return Cells(rows, where, _species(table.columns), _notes(table.row_labels))


def _separator(path: Path) -> str | None:
    """Tell what separates the columns of a text, by its name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return _TEXT_SUFFIXES.get(suffixes[-1]) if suffixes else None


def _read_with_pandas(path: Path, column: str | None, kind: str | None) -> PickledTable:
    """Read a parquet or text file; of parquet only the columns that are needed."""
    _require("pandas", path)
    import pandas  # type: ignore[import-untyped,import-not-found,unused-ignore]

    read: Callable[[], Any]
    if kind == "parquet":
        _require("pyarrow", path)
        from pyarrow.parquet import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
            read_schema,
        )

        def read() -> Any:
            names = list(read_schema(path).names)
            if column is not None:
                names = fnmatch.filter(names, column) or names
            return pandas.read_parquet(path, columns=names)
    else:

        def read() -> Any:
            return pandas.read_csv(path, sep=_separator(path))

    try:
        frame = read()
    except (OSError, ValueError) as error:
        raise FormatError(
            "table cannot be read", where=str(path), got=str(error).splitlines()[0]
        ) from error
    return PickledTable({str(name): frame[name].to_numpy() for name in frame.columns})


def _require(package: str, path: Path) -> None:
    """Refuse a file that needs a package which is not there."""
    if importlib.util.find_spec(package) is None:
        raise RequestError(
            f"{package} is needed to read this table",
            where=str(path),
            remedy=f"install it with: python -m pip install {package}; or save the column of"
            " features with numpy.save",
        )


def _choose(table: PickledTable, column: str | None, path: Path) -> str:
    """Return the name of the column, or the pattern of several."""
    names = list(table.columns)
    listed = ", ".join(names[:_LISTED_AT_MOST]) + ", …" * (len(names) > _LISTED_AT_MOST)
    if column is None and len(names) != 1:
        raise FeatureError(
            "table has several columns",
            where=str(path),
            expected="the name of one",
            got=listed,
            remedy="name it with --array COLUMN; --array 'f*' takes all that match side by side",
        )
    if column is None or names == [""]:
        return names[0]
    if column not in names and ("*" not in column or not fnmatch.filter(names, column)):
        raise FeatureError(
            f"column {column!r} is absent",
            where=str(path),
            expected="one of the columns",
            got=listed,
        )
    if column in names and table.columns[column] is None:
        raise FeatureError(
            f"column {column!r} is of a type that is not read",
            where=str(path),
            expected="numbers or arrays",
            remedy="save the column of features with numpy.save",
        )
    return column


def _side_by_side(table: PickledTable, pattern: str, where: str) -> list[NDArray[Any] | None]:
    """Join columns of numbers to rows."""
    names = fnmatch.filter(list(table.columns), pattern)
    columns = [_numbers(table.columns[name], f"{where}, {name!r}") for name in names]
    return list(np.stack(columns, axis=1))


def _numbers(column: Column, where: str) -> NDArray[Any]:
    """Take a column as numbers."""
    values = np.asarray(column)
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise FeatureError(
            "column does not hold numbers", where=where, got=f"{values.dtype}, shape {values.shape}"
        )
    return values


def _cell(cell: object, where: str, row: int) -> NDArray[Any] | None:
    """Take a cell as an array of one or two axes."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return None
    if isinstance(cell, str):
        cell = _parse(cell, f"{where}, row {row}")
    if isinstance(cell, np.ndarray) and cell.dtype.hasobject:
        cell = cell.tolist()
    try:
        array = np.array(cell) if _is_listed(cell) else np.asarray(cell)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "fiu" or array.ndim > 2:
        raise FeatureError(
            "cell is no array of numbers",
            where=f"{where}, row {row}",
            expected="shape (atoms, features) or (features,)",
            got=f"{type(cell).__name__}, shape {array.shape} of {array.dtype}",
        )
    return array.reshape(1) if array.ndim == 0 else array


def _is_listed(cell: object) -> bool:
    """Tell whether a cell is a list, perhaps of arrays."""
    return isinstance(cell, (list, tuple))


def _parse(text: str, where: str) -> object:
    """Read a list that is written out."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise FeatureError(
            "cell is no list of numbers",
            where=where,
            expected="[1.5, 2.5] or [[1.5, 2.5], [3.5, 4.5]]",
            got=repr(text[:60]),
            remedy="arrays that pandas wrote to text have lost digits: use to_parquet, or"
            " numpy.save",
        ) from error


def _species(columns: dict[str, Column]) -> list[NDArray[Any]] | None:
    """Find the atomic numbers of structures that are kept beside their features."""
    found = columns.get("ase_atoms")
    species = []
    for atoms in () if found is None else found:
        state = atoms.state if isinstance(atoms, DeadObject) else None
        arrays = state.get("arrays") if isinstance(state, dict) else None
        numbers = arrays.get("numbers") if isinstance(arrays, dict) else None
        if not isinstance(numbers, np.ndarray) or numbers.ndim != 1:
            return None
        species.append(numbers)
    return species or None


def _notes(labels: NDArray[Any] | None) -> tuple[str, ...]:
    """Say that rows were sorted or taken out of a larger table."""
    if labels is None or np.array_equal(labels, np.arange(len(labels))):
        return ()
    return (
        "rows of the table are not numbered 0, 1, 2, …: they are taken in the order of the file",
    )
