"""Columns and constants within an expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from prcli.errors import ExpressionError

Kind: TypeAlias = Literal["number", "truth", "text", "mixed", "missing"]
Constant: TypeAlias = bool | int | float | str


@dataclass(frozen=True, eq=False)
class Operand:
    """Values of one kind, one per structure, or one for all of them.

    Attributes
    ----------
    kind : {"number", "truth", "text", "mixed", "missing"}
        What the values are; "missing" where there is none in any structure.
    data : (S,) or () array
        float64, bool, strings, or objects; anything where not `present`.
    present : (S,) or () bool array
        False where a value is missing.
    """

    kind: Kind
    data: np.ndarray
    present: np.ndarray

    def spread(self, n_structures: int) -> Operand:
        """Give every structure its own value.

        Parameters
        ----------
        n_structures : int
            S.

        Returns
        -------
        Operand
            With arrays of shape (S,).
        """
        data = np.broadcast_to(self.data, (n_structures,))
        return Operand(self.kind, data, np.broadcast_to(self.present, (n_structures,)))


def column_operand(name: str, values: np.ndarray) -> Operand:
    """Find the kind of a column.

    Parameters
    ----------
    name : str
        For messages.
    values : (S,) array
        Numbers (nan is missing), truth values, strings, or objects (None is missing).

    Returns
    -------
    Operand
        Of S entries.

    Raises
    ------
    ExpressionError
        If there are several values per structure, or values of other kinds.
    """
    if values.ndim == 1 and values.dtype.kind in "iuf":
        numbers = values.astype(np.float64)
        return Operand("number", numbers, ~np.isnan(numbers))
    if values.ndim == 1 and values.dtype.kind in "bU":
        kind: Kind = "truth" if values.dtype.kind == "b" else "text"
        return Operand(kind, values, np.ones(values.shape, dtype=bool))
    if values.ndim == 1 and values.dtype.kind == "O":
        return _object_operand(name, values)
    raise _unusable(name, f"shape {values.shape}, {values.dtype}")


def constant_operand(value: Constant) -> Operand:
    """Make an operand of a constant.

    Parameters
    ----------
    value : bool, int, float or str
        As in the text of the expression.

    Returns
    -------
    Operand
        Of one value for all structures.
    """
    if isinstance(value, str):
        return Operand("text", np.array(value), np.array(True))
    if isinstance(value, bool):
        return Operand("truth", np.array(value), np.array(True))
    return Operand("number", np.array(float(value)), np.array(True))


def _object_operand(name: str, values: np.ndarray) -> Operand:
    """Find the kind of a column of objects."""
    present = np.fromiter((value is not None for value in values), dtype=bool, count=len(values))
    types = set(map(type, values)) - {type(None)}
    kinds = {_kind_of(kind) for kind in types}
    if None in kinds:
        raise _unusable(name, ", ".join(sorted(kind.__name__ for kind in types)))
    if not kinds:
        return Operand("missing", np.full(values.shape, np.nan), present)
    if kinds == {"number"}:
        numbers = values.astype(np.float64)  # None becomes nan
        return Operand("number", numbers, ~np.isnan(numbers))
    if kinds == {"truth"}:
        return Operand("truth", values.astype(bool), present)
    if kinds == {"text"}:
        # Strings have an order among themselves only.
        return Operand("text", np.where(present, values, ""), present)
    return Operand("mixed", values, present)


def _kind_of(kind: type) -> Kind | None:
    """Tell what values of a Python or numpy type are; None for what expressions do not know."""
    if issubclass(kind, bool | np.bool_):
        return "truth"
    if issubclass(kind, int | float | np.integer | np.floating):
        return "number"
    return "text" if issubclass(kind, str) else None


def _unusable(name: str, got: str) -> ExpressionError:
    """Say that a column has no place in an expression."""
    return ExpressionError(
        f"column {name!r} cannot be used in an expression",
        expected="a number, a truth value or a string per structure",
        got=got,
    )
