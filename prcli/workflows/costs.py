"""Costs of candidates, from an expression of their columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prcli.errors import ExpressionError, RequestError
from prcli.workflows.expressions import parse_expression
from prcli.workflows.structure_columns import StructureColumns

FloatArray = NDArray[np.float64]


def costs_of(text: str, columns: StructureColumns, label: str) -> FloatArray:
    """Compute the cost of every candidate.

    Parameters
    ----------
    text : str
        Expression.
    columns : StructureColumns
        Of the pool.
    label : str
        Name of the pool, for messages.

    Returns
    -------
    costs : ndarray of shape (C,)

    Raises
    ------
    ExpressionError
        If the expression is no number.
    RequestError
        If a cost is not positive and finite.
    """
    expression = parse_expression(text)
    columns.fetch(expression.names)
    values = expression.evaluate(columns)
    if values.dtype.kind != "f":
        raise ExpressionError(
            "a cost must be a number",
            where=f"--cost {text}",
            expected="such as n_atoms, n_atoms**3 or a column of numbers",
            got=f"{str(values[0])!r} for structure 0",
        )
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0.0)))
    if wrong.size:
        raise RequestError(
            "a cost is not positive and finite",
            where=f"{label}, structure {int(wrong[0])}, --cost {text}",
            expected="a finite number above 0",
            got=f"{values[wrong[0]]}, and {wrong.size - 1} more like that",
            remedy="leave such structures out with a slice of the pool, or use another expression",
        )
    return np.asarray(values, dtype=np.float64)
