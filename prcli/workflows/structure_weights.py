"""Weights of structures, from columns of the store or keys of the comment line."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.errors import RequestError
from prcli.workflows.structure_columns import StructureColumns

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


def read_weights(data: Dataset, columns: StructureColumns, key: str) -> FloatArray:
    """Read the weight of every structure.

    A frame that lacks the key counts as 1, which is what MACE does, and is reported.

    Parameters
    ----------
    data : Dataset
    columns : StructureColumns
        Of the same set.
    key : str

    Returns
    -------
    weights : ndarray of shape (S,)

    Raises
    ------
    ExpressionError
        If the key is neither a column nor a key of any frame.
    RequestError
        If a weight is negative, not finite or not a number.
    """
    columns.fetch([key])
    weights, absent = read_numbers(data, columns, key)
    n_absent = int(np.count_nonzero(absent))
    if n_absent:
        logger.warning(
            "%d of %d structures of the %s set lack %s, which counts as 1 there",
            n_absent,
            len(weights),
            data.name,
            key,
        )
        weights = np.where(absent, 1.0, weights)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0.0)))
    if wrong.size:
        raise RequestError(
            "a weight is not valid",
            where=place_of(data, int(wrong[0]), key),
            expected="a finite number that is not negative",
            got=str(weights[wrong[0]]),
        )
    return weights


def product(weights: Sequence[FloatArray]) -> FloatArray | None:
    """Multiply weights of the same structures; None where all are 1."""
    if not weights:
        return None
    total: FloatArray = np.prod(weights, axis=0)
    return None if np.all(total == 1.0) else total


def read_numbers(
    data: Dataset, columns: StructureColumns, name: str
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Take a column that must hold numbers.

    Parameters
    ----------
    data : Dataset
    columns : StructureColumns
        It has fetched the column.
    name : str

    Returns
    -------
    values : ndarray of shape (S,)
        nan where a frame lacks the key.
    absent : ndarray of bool of shape (S,)

    Raises
    ------
    RequestError
        If a value is something else than a number.
    """
    column = columns[name]
    if column.dtype.kind in "iuf":
        return column.astype(np.float64), np.zeros(len(column), dtype=bool)
    values = column.tolist()
    for index, value in enumerate(values):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number or value is None):
            raise RequestError(
                f"{name!r} is not a number everywhere",
                where=place_of(data, index, name),
                expected="a number",
                got=repr(value),
            )
    absent = np.array([value is None for value in values])
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64), absent


def place_of(data: Dataset, index: int, name: str) -> str:
    """Name the table, structure and column of a value, for messages."""
    part, position = data.locate(index)
    return f"{part.table.label}, structure {position}, {name}"
