"""Numbers of the tables of a result, read back, and made ready for a page."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from prcli.errors import FormatError
from prcli.workflows.selection_result import Table

FloatArray = NDArray[np.float64]


def numbers(table: Table, name: str) -> FloatArray:
    """Read a column of numbers; nan where a field is empty.

    Raises
    ------
    FormatError
        If there is none, or if it holds something else.
    """
    try:
        return np.array([float(text) if text else np.nan for text in table[name]], dtype=np.float64)
    except (KeyError, ValueError) as error:
        raise FormatError(
            "a table of the result has been changed",
            where=f"column {name}",
            expected="numbers",
            got=str(error),
            remedy="select again",
        ) from error


def integers(table: Table, name: str) -> list[int]:
    """Read a column of whole numbers; 0 where a field is empty."""
    return [int(value) for value in np.nan_to_num(numbers(table, name)).tolist()]


def plain(values: Iterable[float], digits: int = 6) -> list[float | None]:
    """Make numbers ready for JSON, with some digits."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values]
