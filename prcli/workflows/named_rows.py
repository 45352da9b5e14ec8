"""Rows of a set by name or number, and the values of columns there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.errors import ExpressionError, RequestError
from prcli.workflows.quantities import ENERGY
from prcli.workflows.quantity_syntax import Pick
from prcli.workflows.structure_columns import StructureColumns
from prcli.workflows.structure_weights import place_of, read_numbers

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

#: Column or key that names rows where nothing else was said.
NAME_KEY = "name"

_MOST_NAMES = 60


class NamedRows:
    """Finds the rows that names in an expression mean.

    Parameters
    ----------
    data : Dataset
    columns : StructureColumns
        Of the same set.
    name_key : str, optional
        Column or key that names rows; "name" by default.
    """

    def __init__(self, data: Dataset, columns: StructureColumns, name_key: str | None) -> None:
        self._data = data
        self._columns = columns
        self._key = name_key or NAME_KEY

    def fetch(self, picks: Iterable[Pick], others: Iterable[str]) -> None:
        """Read all columns in one pass; what is not known is said where it is used."""
        picks = list(picks)
        names = {pick.column for pick in picks if pick.column != ENERGY} | set(others)
        if any(isinstance(pick.key, str) for pick in picks):
            names.add(self._key)
        try:
            self._columns.fetch(sorted(names))
        except ExpressionError:
            return

    def find(self, pick: Pick) -> Rows:
        """Find the rows of a pick, ascending.

        Raises
        ------
        ExpressionError
            If there are none.
        """
        n_structures = self._data.n_structures
        if pick.key is None:
            return np.arange(n_structures)
        if isinstance(pick.key, int):
            if pick.key >= n_structures:
                raise ExpressionError(
                    "there is no such row",
                    where=f"{pick.column}[{pick.key}]",
                    expected=f"a row of {self._data.label}, 0 to {n_structures - 1}",
                )
            return np.array([pick.key])
        found = np.flatnonzero(_equals(self._names(), pick.key))
        if not found.size:
            raise self._no_rows(pick)
        return found

    def values(self, pick: Pick, rows: Rows) -> FloatArray:
        """Values of a column at some rows, shape (k, 1).

        Raises
        ------
        ExpressionError
            If there is no such column.
        RequestError
            If a value is not a number.
        """
        self._columns.fetch([pick.column])
        values = read_numbers(self._data, self._columns, pick.column)[0][rows]
        absent = np.flatnonzero(np.isnan(values))
        if absent.size:
            raise RequestError(
                f"{pick.column!r} is absent where it is needed",
                where=place_of(self._data, int(rows[absent[0]]), pick.column),
                expected="a number",
            )
        return values[:, np.newaxis]

    def _names(self) -> NDArray[np.generic]:
        try:
            self._columns.fetch([self._key])
        except ExpressionError as error:
            raise ExpressionError(
                f"rows have no names: {error.what}",
                where=error.where,
                expected=error.expected,
                remedy="give the column or key that names them with --name-key, or use row "
                f"numbers such as {ENERGY}[0]",
            ) from error
        return self._columns[self._key]

    def _no_rows(self, pick: Pick) -> ExpressionError:
        present = (value for value in self._names().tolist() if value is not None)
        names = list(dict.fromkeys(map(str, present)))
        near = difflib.get_close_matches(str(pick.key), names, n=1)
        more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return ExpressionError(
            f"no row is named {pick.key!r}",
            where=f"{pick.column}[{pick.key!r}], by the key {self._key}",
            expected="one of " + ", ".join(names[:_MOST_NAMES]) + more,
            remedy=f"did you mean {near[0]!r}?" if near else "name another key with --name-key",
        )


def _equals(values: NDArray[np.generic], key: str) -> NDArray[np.bool_]:
    """Compare with a name; numbers equal the text that stands for them."""
    try:
        number: float | None = float(key)
    except ValueError:
        number = None
    if values.dtype.kind == "U":
        return np.asarray(values == key, dtype=bool)
    if values.dtype.kind in "iuf":
        same = np.zeros(len(values), dtype=bool) if number is None else values == number
        return np.asarray(same, dtype=bool)
    # Objects: a vector among them must not be compared element by element.
    matches = (
        value == key if isinstance(value, str) else number is not None and _is(value, number)
        for value in values.tolist()
    )
    return np.fromiter(matches, dtype=bool, count=len(values))


def _is(value: object, number: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == number
